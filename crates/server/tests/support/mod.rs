//! A server on a free port, with the model that is part of the program, and a client to ask it.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use ponder_engine::LoadOptions;
use ponder_server::{Server, ServerHandle, ServerOptions};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// A server that ends with the test.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) handle: ServerHandle,
    pub(crate) client: Client,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Options for a test: two threads, so that tests can run side by side.
pub(crate) fn options() -> ServerOptions {
    let defaults = ServerOptions::default();
    ServerOptions {
        load: LoadOptions {
            threads: Some(2),
            offline: true,
            ..defaults.load
        },
        ..defaults
    }
}

pub(crate) async fn start() -> Running {
    start_with(options()).await
}

pub(crate) async fn start_with(options: ServerOptions) -> Running {
    let server = Server::bind(options).await.expect("the server starts");
    let running = Running {
        url: server.url(),
        address: server.address(),
        handle: server.handle(),
        client: Client::builder()
            .no_proxy()
            // Servers of tests with little patience close connections that have nothing to do.
            .pool_idle_timeout(Duration::from_millis(100))
            .timeout(Duration::from_secs(120))
            .build()
            .expect("a client"),
    };
    tokio::spawn(server.serve());
    running
}

impl Running {
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub(crate) fn request(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    /// Status and JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        read(self.request(path, body).send().await.expect("a response")).await
    }

    /// Status and JSON of what is there.
    pub(crate) async fn fetch(&self, path: &str) -> (StatusCode, Value) {
        read(self.get(path).send().await.expect("a response")).await
    }

    /// Status and JSON of what is deleted.
    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        let request = self.client.delete(format!("{}{path}", self.url));
        read(request.send().await.expect("a response")).await
    }

    /// Asks for what is there until it is so.
    pub(crate) async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..12_000 {
            last = self.fetch(path).await.1;
            if is_so(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still: {last}");
    }

    /// The JSON of what must be done.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, StatusCode::OK, "{body}: {answer}");
        answer
    }

    pub(crate) async fn chat(&self, body: &Value) -> Value {
        self.ask("/v1/chat/completions", body).await
    }

    /// The data of all events of a stream.
    pub(crate) async fn stream(&self, path: &str, body: &Value) -> Vec<String> {
        let response = self.request(path, body).send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::OK, "{body}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events::of(response).rest().await
    }

    /// The chunks of a streamed chat, without `[DONE]`, which must be the last.
    pub(crate) async fn chunks(&self, body: &Value) -> Vec<Value> {
        let mut events = self.stream("/v1/chat/completions", body).await;
        assert_eq!(events.pop().as_deref(), Some("[DONE]"));
        let parse = |data: &String| serde_json::from_str(data).expect("JSON");
        events.iter().map(parse).collect()
    }

    /// The value of a metric of the default model, or of one without labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let response = self.get("/metrics").send().await.expect("a response");
        let text = response.text().await.expect("text");
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until a metric is as wanted.
    pub(crate) async fn until_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let mut last = None;
        for _ in 0..400 {
            last = self.metric(name).await;
            if last.is_some_and(&wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{name} is {last:?}");
    }
}

/// Status and JSON of a response.
pub(crate) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.expect("a body");
    let value = serde_json::from_str(&text);
    (status, value.unwrap_or_else(|_| panic!("no JSON: {text}")))
}

/// Events of a stream, one at a time.
pub(crate) struct Events {
    response: std::pin::Pin<Box<dyn futures_util::Stream<Item = Vec<u8>> + Send>>,
    text: String,
}

impl Events {
    pub(crate) fn of(response: Response) -> Self {
        let bytes = response.bytes_stream();
        Self {
            response: Box::pin(bytes.map(|bytes| bytes.map(|b| b.to_vec()).unwrap_or_default())),
            text: String::new(),
        }
    }

    /// The data of the next event.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let mut lines = event.lines();
                let data = lines.find_map(|line| line.strip_prefix("data: "));
                let data = data.map(str::to_owned);
                self.text = rest.to_owned();
                match data {
                    Some(data) => return Some(data),
                    // A comment.
                    None => continue,
                }
            }
            let bytes = self.response.next().await?;
            self.text += std::str::from_utf8(&bytes).expect("UTF-8");
        }
    }

    /// The next chunk.
    pub(crate) async fn chunk(&mut self) -> Value {
        let data = self.next().await.expect("an event");
        serde_json::from_str(&data).unwrap_or_else(|_| panic!("no JSON: {data}"))
    }

    /// The first chunk that is so.
    pub(crate) async fn chunk_that(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let chunk = self.chunk().await;
            if is_so(&chunk) {
                return chunk;
            }
        }
    }

    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(data) = self.next().await {
            all.push(data);
        }
        all
    }
}

/// A conversation of one message, greedy.
pub(crate) fn says(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": text}], "temperature": 0})
}

/// The same with more fields.
pub(crate) fn says_with(text: &str, more: Value) -> Value {
    let mut body = says(text);
    let fields = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(fields);
    body
}

/// All pieces of a delta's field, in order.
pub(crate) fn joined(chunks: &[Value], field: &str) -> String {
    let pieces = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str());
    pieces.collect()
}
