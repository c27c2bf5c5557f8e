//! Every task once, whatever the number of threads and tasks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[test]
fn every_task_runs_once() {
    for n_threads in [1, 2, 3, 8] {
        let threads = Threads::new(n_threads).expect("threads");
        for n_tasks in [0, 1, 2, 7, 64, 1000] {
            let counts: Vec<_> = (0..n_tasks).map(|_| AtomicUsize::new(0)).collect();
            threads.run(n_tasks, &|task, thread| {
                assert!(thread < n_threads);
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(
                counts
                    .iter()
                    .all(|count| count.load(Ordering::Relaxed) == 1)
            );
        }
    }
}

#[test]
fn parts_of_a_slice_are_written_by_many() {
    let threads = Threads::new(4).expect("threads");
    let mut sums = vec![0; 1000];
    for round in 0..2000 {
        let shared = SharedSlice::new(&mut sums);
        threads.run(250, &|task, _| {
            // SAFETY: each task has its own four elements.
            let part = unsafe { shared.part(task * 4..task * 4 + 4) };
            part.iter_mut().for_each(|sum| *sum += round);
        });
    }
    assert!(sums.iter().all(|&sum| sum == 1999 * 2000 / 2));
}

#[test]
fn threads_that_have_parked_come_back() {
    let threads = Threads::new(3).expect("threads");
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(2));
        let count = AtomicUsize::new(0);
        threads.run(9, &|_, _| {
            std::thread::sleep(std::time::Duration::from_micros(300));
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 9);
    }
}

#[test]
fn callers_take_turns() {
    let threads = Threads::new(2).expect("threads");
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    threads.run(5, &|_, _| {
                        count.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 4 * 200 * 5);
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_lives_on() {
    let threads = Threads::new(2).expect("threads");
    for bad in [0, 99] {
        let work = |task: usize, _: usize| assert_ne!(task, bad);
        let end = catch_unwind(AssertUnwindSafe(|| threads.run(100, &work)));
        assert!(end.is_err());
    }
    let count = AtomicUsize::new(0);
    threads.run(100, &|_, _| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(count.into_inner(), 100);
}
