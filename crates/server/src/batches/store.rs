//! [`BatchStore`]: all batches, on the disk and at work.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::record::{Counts, Record, Status};
use super::run;
use crate::app::SharedApp;
use crate::disk::{DiskError, atomic};
use crate::http::Caller;
use crate::ids::now;

/// Batches that are not over, at most.
const MAX_OPEN: usize = 100;

/// Batches that are over and still listed, at most.
const MAX_OVER: usize = 1000;

/// One batch.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Where its record and its results are.
    pub(crate) folder: PathBuf,
    record: Mutex<Record>,
    cancelled: watch::Sender<bool>,
}

impl Batch {
    fn new(folder: PathBuf, record: Record) -> Self {
        let is_cancelled = record.status == Status::Cancelling;
        Self {
            folder,
            record: Mutex::new(record),
            cancelled: watch::Sender::new(is_cancelled),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // Fields are set one by one from checked values, whoever panicked.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of it now.
    pub(crate) fn record(&self) -> Record {
        self.lock().clone()
    }

    /// Notes how many lines are done, which the results on the disk say, too.
    pub(crate) fn set_counts(&self, counts: Counts) {
        self.lock().counts = counts;
    }

    /// Changes the record and writes it to the disk. Nothing is changed where that fails.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) -> Result<Record, DiskError> {
        let mut record = self.lock();
        let mut changed = record.clone();
        change(&mut changed);
        atomic::write_json(&self.folder.join("batch.json"), &changed)?;
        *record = changed.clone();
        Ok(changed)
    }

    /// Returns when somebody has cancelled it.
    pub(crate) async fn cancelled(&self) {
        // The sender lives as long as the batch.
        let _ = self.cancelled.subscribe().wait_for(|&is_so| is_so).await;
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct BatchStore {
    folder: PathBuf,
    /// By name, which begins with the time: oldest first.
    batches: Mutex<BTreeMap<Uuid, Arc<Batch>>>,
    at_work: Mutex<JoinSet<()>>,
    /// Lines that are answered at the same time, of all batches.
    lanes: Mutex<Option<Arc<Semaphore>>>,
}

impl BatchStore {
    /// Reads what is in the folder. Nothing begins to work yet.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut batches = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match read_record(&path) {
                Some(record) => {
                    batches.insert(record.uuid, Arc::new(Batch::new(path, record)));
                }
                None => tracing::warn!(path = %path.display(), "this is no batch"),
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            batches: Mutex::new(batches),
            at_work: Mutex::default(),
            lanes: Mutex::default(),
        })
    }

    fn batches(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<Batch>>> {
        // Every change is a single insertion or removal, whoever panicked.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All batches of `caller`, oldest first.
    pub(crate) fn all(&self, caller: Caller) -> Vec<Record> {
        let records = self
            .batches()
            .values()
            .map(|batch| batch.record())
            .collect::<Vec<_>>();
        records
            .into_iter()
            .filter(|record| record.owner == caller)
            .collect()
    }

    /// The batch of this name, if it belongs to `caller`.
    pub(crate) fn get(&self, uuid: Uuid, caller: Caller) -> Option<Arc<Batch>> {
        let batch = self.batches().get(&uuid).cloned()?;
        (batch.record().owner == caller).then_some(batch)
    }

    /// The name of a batch that still reads a file.
    pub(crate) fn reader_of(&self, file: Uuid) -> Option<String> {
        let batches = self.batches();
        let mut open = batches.values().map(|batch| batch.record());
        let reads = |record: &Record| record.input == file && !record.status.is_final();
        open.find(reads).map(|record| record.id())
    }

    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        let batches = self.batches();
        let open = batches
            .values()
            .filter(|batch| !batch.record().status.is_final());
        open.count() < MAX_OPEN
    }

    /// Keeps a new batch. It does not work yet.
    pub(crate) fn add(&self, record: Record) -> Result<Arc<Batch>, DiskError> {
        let folder = self.folder.join(record.uuid.simple().to_string());
        fs::create_dir(&folder)?;
        let uuid = record.uuid;
        let batch = Arc::new(Batch::new(folder.clone(), record));
        let written = batch
            .change(|_| ())
            .and_then(|_| Ok(atomic::sync_folder_of(&folder)?));
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&folder);
            return Err(error);
        }
        self.batches().insert(uuid, Arc::clone(&batch));
        self.forget_old()?;
        Ok(batch)
    }

    fn forget_old(&self) -> io::Result<()> {
        let mut batches = self.batches();
        let over = batches
            .iter()
            .filter(|(_, batch)| batch.record().status.is_final());
        let over: Vec<Uuid> = over.map(|(uuid, _)| *uuid).collect();
        for uuid in &over[..over.len().saturating_sub(MAX_OVER)] {
            if let Some(batch) = batches.remove(uuid) {
                fs::remove_dir_all(&batch.folder)?;
            }
        }
        Ok(())
    }

    /// Lets a batch work.
    pub(crate) fn start(&self, app: SharedApp, batch: Arc<Batch>) {
        let lanes = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            // Half of the places, so that there is always one for who does not wait a day.
            let n = (app.options.load.max_sequences / 2).max(1);
            Arc::clone(lanes.get_or_insert_with(|| Arc::new(Semaphore::new(n))))
        };
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        while at_work.try_join_next().is_some() {}
        at_work.spawn(run::run(app, batch, lanes));
    }

    /// Lets all batches work that an earlier server has left.
    pub(crate) fn resume(&self, app: &SharedApp) {
        let batches: Vec<Arc<Batch>> = self.batches().values().cloned().collect();
        for batch in batches {
            let record = batch.record();
            if !record.status.is_final() {
                tracing::info!(batch = record.id(), "going on with a batch");
                self.start(Arc::clone(app), batch);
            }
        }
    }

    /// Ends all work. Lines that are not done are done after the next start.
    pub(crate) fn stop(&self) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.abort_all();
    }

    /// Cancels a batch.
    pub(crate) fn cancel(&self, batch: &Batch) -> Result<Record, DiskError> {
        let record = batch.change(|record| {
            if !record.status.is_final() && record.status != Status::Cancelling {
                record.enter(Status::Cancelling, now());
            }
        })?;
        batch.cancelled.send_replace(true);
        Ok(record)
    }
}

fn read_record(folder: &Path) -> Option<Record> {
    let bytes = fs::read(folder.join("batch.json")).ok()?;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    let is_named_so = folder.file_name()? == record.uuid.simple().to_string().as_str();
    is_named_so.then_some(record)
}
