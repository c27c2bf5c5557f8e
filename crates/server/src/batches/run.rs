//! A batch at work: from its input file to its results.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use tokio::sync::Semaphore;

use super::ask::{Ask, Asked};
use super::lines::{self, Line};
use super::record::{LineError, Record, Status};
use super::results::{self, LineResult, Results};
use super::store::Batch;
use crate::app::SharedApp;
use crate::disk::DiskError;
use crate::files::{FileMeta, FileStore, Purpose};
use crate::ids::{new_id, now};

/// Results that are written to the disk in one go, at most.
const WRITE_AT_ONCE: usize = 256;

/// How long a batch waits after its first failure; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// How long it waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Works until the batch is over. What cannot be written, because the disk is full, is tried again.
pub(super) async fn run(app: SharedApp, batch: Arc<Batch>, lanes: Arc<Semaphore>) {
    let mut wait = FIRST_WAIT;
    while let Err(error) = work(&app, &batch, &lanes).await {
        let id = batch.record().id();
        tracing::error!(batch = id, %error, "a batch cannot go on, and tries again in {wait:?}");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn work(
    app: &SharedApp,
    batch: &Arc<Batch>,
    lanes: &Arc<Semaphore>,
) -> Result<(), DiskError> {
    let files = Arc::clone(&app.disk.open(app).await?.files);
    if let Some(end) = batch.record().end {
        return finalize(batch, files, end).await;
    }
    let Some(lines) = validate(app, batch, &files).await? else {
        return Ok(());
    };
    let results = open_results(batch, lines.len()).await?;
    let is_open = |line: &Line| !lock(&results).has(&line.custom_id);
    let open: Vec<Line> = lines.into_iter().filter(is_open).collect();
    let end = answer(app, batch, lanes, &files, &results, open.clone()).await?;
    let left: Vec<Line> = open.into_iter().filter(is_open).collect();
    for some in left.chunks(WRITE_AT_ONCE) {
        let some = some.iter().map(|line| unanswered(line, end)).collect();
        write(batch, &results, some).await?;
    }
    drop(results);
    change(batch, move |record| {
        record.end = Some(end);
        if end == Status::Completed {
            record.enter(Status::Finalizing, now());
        }
    })
    .await?;
    finalize(batch, files, end).await
}

fn lock(results: &Mutex<Results>) -> std::sync::MutexGuard<'_, Results> {
    // What is on the disk is what counts, and it is read again after a failure.
    results.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads the input. `None`: the batch has failed, and says so.
async fn validate(
    app: &SharedApp,
    batch: &Arc<Batch>,
    files: &FileStore,
) -> Result<Option<Vec<Line>>, DiskError> {
    let record = batch.record();
    let path = files.data(record.input);
    let max_line = app.options.max_body;
    let read = blocking(move || Ok(lines::read(&path, &record.endpoint, max_line))).await?;
    let errors = match read {
        Ok(Ok(lines)) => {
            if batch.record().status == Status::Validating {
                let total = lines.len();
                change(batch, move |record| {
                    record.counts.total = total;
                    record.enter(Status::InProgress, now());
                })
                .await?;
            }
            return Ok(Some(lines));
        }
        Ok(Err(errors)) => errors,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![LineError {
            code: "file_not_found".to_owned(),
            message: "The input file is gone.".to_owned(),
            param: Some("input_file_id".to_owned()),
            line: None,
        }],
        Err(error) => return Err(error.into()),
    };
    change(batch, |record| {
        record.errors = errors;
        record.enter(Status::Failed, now());
    })
    .await?;
    Ok(None)
}

async fn open_results(batch: &Arc<Batch>, total: usize) -> Result<Arc<Mutex<Results>>, DiskError> {
    let folder = batch.folder.clone();
    let results = blocking(move || Ok(Results::open(&folder, total)?)).await?;
    batch.set_counts(results.counts());
    Ok(Arc::new(Mutex::new(results)))
}

/// Answers all lines, or as many as there is time for; how the batch ends.
async fn answer(
    app: &SharedApp,
    batch: &Arc<Batch>,
    lanes: &Arc<Semaphore>,
    files: &FileStore,
    results: &Arc<Mutex<Results>>,
    open: Vec<Line>,
) -> Result<Status, DiskError> {
    let record = batch.record();
    let left = Duration::from_secs(record.expires_at.saturating_sub(now()));
    let mut answers = Box::pin(answers(app, &record, lanes, files, open));
    let expired = tokio::time::sleep(left);
    tokio::pin!(expired);
    loop {
        let some = tokio::select! {
            biased;
            () = batch.cancelled() => return Ok(Status::Cancelled),
            () = &mut expired => return Ok(Status::Expired),
            some = answers.next() => some,
        };
        match some {
            None => return Ok(Status::Completed),
            Some(some) => write(batch, results, some).await?,
        }
    }
}

/// Answers to lines, as they come.
fn answers(
    app: &SharedApp,
    record: &Record,
    lanes: &Arc<Semaphore>,
    files: &FileStore,
    open: Vec<Line>,
) -> impl Stream<Item = Vec<LineResult>> + use<> {
    let ask = Arc::new(Ask::new(app, record.owner, &record.endpoint));
    let (path, lanes) = (files.data(record.input), Arc::clone(lanes));
    let n = app.options.load.max_sequences.max(1);
    let one = move |line: Line| {
        let (ask, path, lanes) = (Arc::clone(&ask), path.clone(), Arc::clone(&lanes));
        async move {
            // Nobody closes the lanes.
            let _lane = lanes.acquire_owned().await;
            let found = {
                let line = line.clone();
                blocking(move || Ok(line.body(&path)?)).await
            };
            match found {
                Ok(body) => answered(&line, ask.ask(body).await),
                Err(error) => refused(&line, "file_unreadable", &error.to_string()),
            }
        }
    };
    stream::iter(open)
        .map(one)
        .buffer_unordered(n)
        .ready_chunks(WRITE_AT_ONCE)
}

fn answered(line: &Line, asked: Asked) -> LineResult {
    LineResult {
        is_good: (200..300).contains(&asked.status),
        line: json!({
            "id": new_id("batch_req_"),
            "custom_id": line.custom_id,
            "response": {
                "status_code": asked.status,
                "request_id": asked.request_id,
                "body": asked.body,
            },
            "error": null,
        }),
    }
}

fn refused(line: &Line, code: &str, message: &str) -> LineResult {
    LineResult {
        is_good: false,
        line: json!({
            "id": new_id("batch_req_"),
            "custom_id": line.custom_id,
            "response": null,
            "error": {"code": code, "message": message},
        }),
    }
}

/// What is said of a line that was not answered before the end.
fn unanswered(line: &Line, end: Status) -> LineResult {
    match end {
        Status::Cancelled => {
            let message = "The batch was cancelled before this request was answered.";
            refused(line, "batch_cancelled", message)
        }
        _ => {
            let message = "This request could not be answered before the window closed.";
            refused(line, "batch_expired", message)
        }
    }
}

async fn write(
    batch: &Arc<Batch>,
    results: &Arc<Mutex<Results>>,
    some: Vec<LineResult>,
) -> Result<(), DiskError> {
    let (results, batch) = (Arc::clone(results), Arc::clone(batch));
    blocking(move || {
        let mut results = lock(&results);
        results.append(&some)?;
        batch.set_counts(results.counts());
        Ok(())
    })
    .await
}

/// Moves the results to where clients find them.
async fn finalize(batch: &Arc<Batch>, files: Arc<FileStore>, end: Status) -> Result<(), DiskError> {
    let batch = Arc::clone(batch);
    blocking(move || {
        let record = batch.record();
        let uuids = [record.output, record.errors_file];
        let mut kept = [false; 2];
        for (i, from) in results::paths(&batch.folder).into_iter().enumerate() {
            let bytes = match from.metadata() {
                Ok(meta) => meta.len(),
                // Moved before a stop.
                Err(_) => files
                    .get(uuids[i], record.owner)
                    .map_or(0, |meta| meta.bytes),
            };
            if bytes == 0 {
                let _ = std::fs::remove_file(&from);
                continue;
            }
            let name = ["output", "errors"][i];
            let meta = FileMeta {
                uuid: uuids[i],
                owner: record.owner,
                bytes,
                created_at: now(),
                filename: format!("{}_{name}.jsonl", record.id()),
                purpose: Purpose::BatchOutput,
            };
            files.keep(&from, meta)?;
            kept[i] = true;
        }
        batch.change(|record| {
            [record.has_output, record.has_errors] = kept;
            record.enter(end, now());
        })?;
        Ok(())
    })
    .await
}

async fn change(
    batch: &Arc<Batch>,
    change: impl FnOnce(&mut Record) + Send + 'static,
) -> Result<(), DiskError> {
    let batch = Arc::clone(batch);
    blocking(move || batch.change(change).map(|_| ())).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiskError> + Send + 'static,
) -> Result<T, DiskError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| DiskError::Io(error.into()))?
}
