//! The page at `/`, which is part of the program: the files of `crates/server/page`, as they are.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};

/// A file of the page.
#[derive(Debug)]
struct File {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

/// Files of `crates/server/page`.
macro_rules! files {
    ($($name:literal: $content_type:expr),* $(,)?) => {
        &[$(File {
            name: $name,
            content_type: $content_type,
            text: include_str!(concat!("../page/", $name)),
        }),*]
    };
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const INDEX: File = File {
    name: "index.html",
    content_type: "text/html; charset=utf-8",
    text: include_str!("../page/index.html"),
};

const FILES: &[File] = files! {
    "style.css": CSS,
    "answer.css": CSS,
    "icon.svg": "image/svg+xml",
    "advice.js": JS,
    "announce.js": JS,
    "answer.js": JS,
    "api.js": JS,
    "chat.js": JS,
    "composer.js": JS,
    "context.js": JS,
    "dialog.js": JS,
    "dom.js": JS,
    "effort.js": JS,
    "error.js": JS,
    "format.js": JS,
    "history.js": JS,
    "inline.js": JS,
    "main.js": JS,
    "markdown.js": JS,
    "prose.js": JS,
    "question.js": JS,
    "ring.js": JS,
    "run.js": JS,
    "schema.js": JS,
    "settings.js": JS,
    "shortcuts.js": JS,
    "side.js": JS,
    "slider.js": JS,
    "sse.js": JS,
    "state.js": JS,
    "stats.js": JS,
    "store.js": JS,
    "tester.js": JS,
    "theme.js": JS,
    "thought.js": JS,
    "tools.js": JS,
    "turn.js": JS,
    "validate.js": JS,
    "welcome.js": JS,
};

/// The page runs its own scripts, talks to its own server, and is shown in no other page. Text never
/// becomes markup or script: browsers that know trusted types refuse to make either of it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The page and its files. None of it is secret: what it asks the server for takes a key where there is one.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/",
            get(async |headers: HeaderMap| respond(&INDEX, &headers)),
        )
        .route("/page/{name}", get(file))
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => respond(file, &headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The tag of the whole page, so that a browser never mixes files of this program with those of another.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    for file in iter::once(&INDEX).chain(FILES) {
        (file.name, file.text).hash(&mut hasher);
    }
    let tag = format!("\"{:016x}\"", hasher.finish());
    HeaderValue::try_from(tag).expect("hexadecimal digits")
});

fn respond(file: &'static File, headers: &HeaderMap) -> Response {
    let always: [(HeaderName, HeaderValue); 7] = [
        (header::ETAG, TAG.clone()),
        // Kept by the browser, and asked for again each time: a new program brings a new page.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    if is_known(headers) {
        return (StatusCode::NOT_MODIFIED, always).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, file.content_type)];
    (always, content_type, file.text).into_response()
}

/// Whether the browser has the files of this very page already.
fn is_known(headers: &HeaderMap) -> bool {
    let sent = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = sent
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|one| one.trim().trim_start_matches("W/").as_bytes() == TAG.as_bytes())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    fn all() -> impl Iterator<Item = &'static File> {
        iter::once(&INDEX).chain(FILES)
    }

    fn path_of(file: &File) -> String {
        match file.name {
            "index.html" => "/".to_owned(),
            name => format!("/page/{name}"),
        }
    }

    async fn get(path: &str, known: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(tag) = known {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        let request = request.body(Body::empty()).expect("a request");
        routes::<()>().oneshot(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn files_come_with_their_type_and_policy() {
        for file in all() {
            let response = get(&path_of(file), None).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", file.name);
            let headers = response.headers();
            assert_eq!(headers[header::CONTENT_TYPE], file.content_type);
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert!(headers[header::CONTENT_SECURITY_POLICY] == POLICY);
            let body = to_bytes(response.into_body(), usize::MAX).await;
            assert_eq!(body.expect("a body"), file.text.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_file_that_the_browser_has_is_not_sent_again() {
        let first = get("/", None).await;
        let tag = first.headers()[header::ETAG].to_str().expect("a tag");
        for known in [tag.to_owned(), format!("\"other\", W/{tag}")] {
            let again = get("/", Some(&known)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()[header::ETAG], tag);
            let body = to_bytes(again.into_body(), usize::MAX).await;
            assert!(body.expect("a body").is_empty());
        }
        assert_eq!(get("/", Some("\"other\"")).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn there_is_nothing_but_the_page() {
        for path in [
            "/page/x.js",
            "/page/..%2FCargo.toml",
            "/page/",
            "/page/README.md",
        ] {
            assert_eq!(
                get(path, None).await.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        for entry in std::fs::read_dir(folder).expect("the folder") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy();
            if name != "index.html" && name != "README.md" {
                assert!(FILES.iter().any(|file| file.name == name), "{name}");
            }
        }
    }

    /// Whatever a file names in quotes below `./` or `/page/` is there too.
    #[test]
    fn nothing_is_referred_to_that_is_not_served() {
        let mut n_seen = 0;
        for file in all() {
            for name in file.text.split('"').filter_map(|text| {
                let local = text.strip_prefix("./").filter(|name| name.ends_with(".js"));
                local.or(text.strip_prefix("/page/"))
            }) {
                assert!(FILES.iter().any(|file| file.name == name), "{name}");
                n_seen += 1;
            }
        }
        assert!(n_seen > 30, "{n_seen}");
    }

    #[test]
    fn no_module_makes_markup_of_text_or_leaves_the_origin() {
        let refused = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "setHTML",
            "DOMParser",
            "createContextualFragment",
            "javascript:",
        ];
        for file in all() {
            for word in refused {
                assert!(!file.text.contains(word), "{word} in {}", file.name);
            }
            let addresses = file.text.split("://").count() - 1;
            let known = file.text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(addresses, known, "{}", file.name);
        }
    }
}
