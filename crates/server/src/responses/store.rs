//! [`ResponseStore`]: responses that can be asked for again and continued, in memory.
//!
//! It is bounded by number and by bytes; what nobody has asked for the longest goes first. Turns of a
//! conversation are shared by all responses that follow them, and count once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::input::Item;
use super::object::Response;
use crate::http::Caller;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) responses: usize,
    pub(crate) bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            responses: 1024,
            bytes: 64 << 20,
        }
    }
}

/// Bytes that are counted as long as this is held.
#[derive(Debug)]
struct Charge {
    bytes: usize,
    kept: Arc<AtomicUsize>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.kept.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What was sent with one request, or what came of it.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) items: Vec<Item>,
    _charge: Charge,
}

/// A response that is kept, finished or not.
#[derive(Debug)]
pub(crate) struct Stored {
    owner: Caller,
    id: String,
    /// Earlier turns, and the input of this one behind them.
    pub(crate) input: Vec<Arc<Turn>>,
    now: Mutex<Now>,
    is_over: watch::Sender<bool>,
}

#[derive(Debug)]
struct Now {
    response: Response,
    output: Option<Arc<Turn>>,
    _charge: Charge,
}

impl Stored {
    fn now(&self) -> MutexGuard<'_, Now> {
        // It is replaced as a whole, whoever panicked.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response as far as it has come.
    pub(crate) fn response(&self) -> Response {
        self.now().response.clone()
    }

    /// Returns at its end.
    pub(crate) async fn over(&self) {
        // The sender lives as long as this does.
        let _ = self.is_over.subscribe().wait_for(|&is_over| is_over).await;
    }

    /// What a response that continues this one begins with; `None` before its end.
    pub(crate) fn history(&self) -> Option<Vec<Arc<Turn>>> {
        let output = self.now().output.clone()?;
        Some(self.input.iter().cloned().chain([output]).collect())
    }
}

/// All that are kept.
#[derive(Debug, Default)]
pub(crate) struct ResponseStore {
    bounds: Bounds,
    /// Bytes of all turns that anything refers to.
    kept: Arc<AtomicUsize>,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<String, (Arc<Stored>, u64)>,
    /// Names, the one that nobody has asked for the longest first.
    by_use: BTreeMap<u64, String>,
    /// Where items were made.
    items: HashMap<String, String>,
    next_use: u64,
}

impl ResponseStore {
    /// A store that keeps this much.
    #[cfg(test)]
    pub(crate) fn with(bounds: Bounds) -> Self {
        Self {
            bounds,
            ..Self::default()
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Maps of names: at worst one of them is missed by a caller that panicked.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn charge(&self, bytes: usize) -> Charge {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            bytes,
            kept: Arc::clone(&self.kept),
        }
    }

    /// A turn of these items.
    pub(crate) fn turn(&self, items: Vec<Item>) -> Arc<Turn> {
        let size = items.iter().map(Item::size).sum();
        Arc::new(Turn {
            items,
            _charge: self.charge(size),
        })
    }

    fn now(&self, response: Response, output: Option<Arc<Turn>>) -> Now {
        // About what its JSON takes, names of fields included.
        let size = serde_json::to_vec(&response).map_or(0, |json| json.len());
        Now {
            _charge: self.charge(size),
            response,
            output,
        }
    }

    /// Keeps a response that has begun, with everything that was sent for it.
    pub(crate) fn begin(
        &self,
        owner: Caller,
        response: Response,
        input: Vec<Arc<Turn>>,
    ) -> Arc<Stored> {
        let stored = Arc::new(Stored {
            owner,
            id: response.id.clone(),
            input,
            now: Mutex::new(self.now(response, None)),
            is_over: watch::Sender::new(false),
        });
        let mut index = self.index();
        let at = index.use_now(stored.id.clone());
        index
            .by_id
            .insert(stored.id.clone(), (Arc::clone(&stored), at));
        self.make_room(&mut index);
        stored
    }

    /// Notes how far a response has come.
    pub(crate) fn update(&self, stored: &Stored, response: &Response) {
        let mut output = None;
        if response.status.is_final() {
            let items = response.output.iter().map(Item::from).collect();
            output = Some(self.turn(items));
        }
        let mut index = self.index();
        if index.by_id.contains_key(&stored.id) {
            for item in &response.output {
                index.items.insert(item.id().to_owned(), stored.id.clone());
            }
        }
        let is_over = output.is_some();
        *stored.now() = self.now(response.clone(), output);
        stored.is_over.send_replace(is_over);
        self.make_room(&mut index);
    }

    /// The response of this name, if it belongs to `caller`.
    pub(crate) fn get(&self, id: &str, caller: Caller) -> Option<Arc<Stored>> {
        let mut index = self.index();
        let (stored, at) = index.by_id.get(id)?;
        if stored.owner != caller {
            return None;
        }
        let (stored, at) = (Arc::clone(stored), *at);
        index.by_use.remove(&at);
        let now = index.use_now(id.to_owned());
        if let Some((_, at)) = index.by_id.get_mut(id) {
            *at = now;
        }
        Some(stored)
    }

    /// Forgets a response. False where `caller` has none of this name.
    pub(crate) fn remove(&self, id: &str, caller: Caller) -> bool {
        let mut index = self.index();
        let is_theirs = index
            .by_id
            .get(id)
            .is_some_and(|(stored, _)| stored.owner == caller);
        is_theirs && index.remove(id)
    }

    /// The item of this name that a response of `caller` has made.
    pub(crate) fn item(&self, id: &str, caller: Caller) -> Option<Item> {
        let response = self.index().items.get(id).cloned()?;
        let stored = self.get(&response, caller)?;
        let now = stored.now();
        now.response
            .output
            .iter()
            .find(|item| item.id() == id)
            .map(Item::from)
    }

    /// Lets go of what nobody has asked for, until all bounds hold. Responses under way stay: there
    /// are no more of them than answers that run or wait.
    fn make_room(&self, index: &mut Index) {
        let is_too_much = |index: &Index| {
            index.by_id.len() > self.bounds.responses
                || self.kept.load(Ordering::Relaxed) > self.bounds.bytes
        };
        let mut oldest: Vec<String> = Vec::new();
        if is_too_much(index) {
            oldest = index.by_use.values().cloned().collect();
        }
        for id in oldest {
            if !is_too_much(index) {
                break;
            }
            let is_over = |(stored, _): &(Arc<Stored>, u64)| stored.now().output.is_some();
            if index.by_id.get(&id).is_some_and(is_over) {
                index.remove(&id);
            }
        }
    }
}

impl Index {
    fn use_now(&mut self, id: String) -> u64 {
        let now = self.next_use;
        self.next_use += 1;
        self.by_use.insert(now, id);
        now
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some((stored, at)) = self.by_id.remove(id) else {
            return false;
        };
        self.by_use.remove(&at);
        for item in &stored.now().response.output {
            self.items.remove(item.id());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::responses::item::{OutputItem, Part, Status};
    use crate::responses::object::Asked;

    const ME: Caller = Caller(1);
    const YOU: Caller = Caller(2);

    fn response(id: &str, text: &str) -> Response {
        let mut response = Response::new(id.to_owned(), 0, Status::Completed, Asked::default());
        let part = Part::output(text, Vec::new());
        let message = OutputItem::message(format!("msg_{id}"), Status::Completed, vec![part]);
        response.output.push(message);
        response
    }

    fn user(text: &str) -> Item {
        Item::Message {
            id: "msg_u".to_owned(),
            role: "user".to_owned(),
            texts: vec![text.to_owned()],
        }
    }

    /// Keeps a finished response to `text` that continues `previous`.
    fn keep(store: &ResponseStore, id: &str, previous: Option<&str>, text: &str) {
        let previous = previous.map(|id| store.get(id, ME).expect("it is kept"));
        let mut input = previous.map_or_else(Vec::new, |stored| stored.history().expect("an end"));
        input.push(store.turn(vec![user(text)]));
        let done = response(id, "answer");
        let begun = Response::new(id.to_owned(), 0, Status::InProgress, Asked::default());
        let stored = store.begin(ME, begun, input);
        assert!(
            stored.history().is_none(),
            "nothing can follow what goes on"
        );
        store.update(&stored, &done);
    }

    fn texts(turns: &[Arc<Turn>]) -> Vec<String> {
        let items = turns.iter().flat_map(|turn| &turn.items);
        items
            .map(|item| match item {
                Item::Message { texts, .. } => texts.concat(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_conversation_goes_on_from_any_of_its_turns() {
        let store = ResponseStore::default();
        keep(&store, "a", None, "one");
        keep(&store, "b", Some("a"), "two");
        keep(&store, "c", Some("a"), "three");
        let history = |id| {
            texts(
                &store
                    .get(id, ME)
                    .expect("it is kept")
                    .history()
                    .expect("an end"),
            )
        };
        assert_eq!(history("b"), ["one", "answer", "two", "answer"]);
        assert_eq!(history("c"), ["one", "answer", "three", "answer"]);
        assert!(store.remove("a", ME));
        assert_eq!(history("b"), ["one", "answer", "two", "answer"]);
        assert!(store.get("a", ME).is_none() && !store.remove("a", ME));
    }

    #[test]
    fn what_one_has_made_another_does_not_see() {
        let store = ResponseStore::default();
        keep(&store, "a", None, "one");
        assert!(store.item("msg_a", ME).is_some());
        assert!(store.get("a", YOU).is_none());
        assert!(store.item("msg_a", YOU).is_none());
        assert!(!store.remove("a", YOU));
    }

    #[test]
    fn the_least_asked_for_goes_first() {
        let store = ResponseStore::with(Bounds {
            responses: 3,
            bytes: usize::MAX,
        });
        for id in ["a", "b", "c"] {
            keep(&store, id, None, "x");
        }
        assert!(store.get("a", ME).is_some());
        keep(&store, "d", None, "x");
        assert!(store.get("b", ME).is_none(), "nobody has asked for it");
        assert!(store.item("msg_b", ME).is_none());
        for id in ["a", "c", "d"] {
            assert!(store.get(id, ME).is_some(), "{id}");
        }
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let store = ResponseStore::with(Bounds {
            responses: usize::MAX,
            bytes: 100_000,
        });
        let long = "x".repeat(10_000);
        for i in 0..50 {
            keep(&store, &format!("r{i}"), None, &long);
            assert!(store.kept.load(Ordering::Relaxed) <= 100_000);
        }
        let index = store.index();
        assert!(index.by_id.len() < 10 && index.by_id.len() == index.by_use.len());
        assert_eq!(index.items.len(), index.by_id.len());
        let ids: Vec<String> = index.by_id.keys().cloned().collect();
        drop(index);
        for id in ids {
            assert!(store.remove(&id, ME));
        }
        assert_eq!(store.kept.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_turn_that_many_share_counts_once() {
        let store = ResponseStore::default();
        keep(&store, "a", None, &"x".repeat(100_000));
        for i in 0..20 {
            keep(&store, &format!("r{i}"), Some("a"), "and?");
        }
        assert!(store.kept.load(Ordering::Relaxed) < 200_000);
    }

    #[test]
    fn what_goes_on_stays() {
        let store = ResponseStore::with(Bounds {
            responses: 1,
            bytes: usize::MAX,
        });
        let begun = Response::new("a".to_owned(), 0, Status::InProgress, Asked::default());
        let stored = store.begin(ME, begun, Vec::new());
        keep(&store, "b", None, "x");
        keep(&store, "c", None, "x");
        assert!(store.get("a", ME).is_some());
        store.update(&stored, &response("a", "late"));
        assert!(store.index().by_id.len() <= 1);
    }
}
