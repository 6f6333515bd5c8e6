//! How much may wait and run for one owner.
//!
//! A quota is checked and a place reserved in one step, before the submission is committed, so that
//! requests that come at once do not pass it together. From the commit on the journal counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use jiff::Timestamp;
use shared::Refusal;

/// Milliseconds of processor time in a second of it.
const MILLIS: u64 = 1000;
/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;
/// Seconds after which a place in the queue is likely to be free.
const QUEUE_RETRY_SECONDS: u64 = 5;

/// The quotas of each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Evaluations that may wait.
    pub queued: u32,
    /// Those of all keys together.
    pub capacity: u32,
    /// Processor time of one day (UTC), in seconds.
    pub cpu_seconds_per_day: u64,
}

/// What each owner uses now.
pub struct Quotas {
    limits: QuotaLimits,
    used: Mutex<HashMap<Arc<str>, Used>>,
    refused: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Used {
    /// Being committed.
    reserved: u32,
    queued: u32,
    running: u32,
    /// The day of `cpu_ms`, as days since 1970.
    day: i64,
    cpu_ms: u64,
}

impl Used {
    /// Nothing is known that a new entry would not have.
    fn is_idle(&self, today: i64) -> bool {
        (self.reserved, self.queued, self.running) == (0, 0, 0)
            && (self.day != today || self.cpu_ms == 0)
    }

    fn cpu_ms_on(&self, today: i64) -> u64 {
        if self.day == today { self.cpu_ms } else { 0 }
    }
}

/// Places that are reserved for submissions. They are released when it is dropped.
pub struct Reservation {
    quotas: Arc<Quotas>,
    owner: Arc<str>,
    count: u32,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let count = self.count;
        self.quotas.change(&self.owner, |used| used.reserved = used.reserved.saturating_sub(count));
    }
}

impl Quotas {
    /// Quotas that nothing is used of.
    pub fn new(limits: QuotaLimits) -> Arc<Self> {
        Arc::new(Self { limits, used: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// Submissions that were refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The limits.
    pub fn limits(&self) -> QuotaLimits {
        self.limits
    }

    /// Refuses more at once than can ever wait, of a key or of a client without one.
    ///
    /// # Errors
    ///
    /// 422: the client need not wait for anything.
    pub(crate) fn check_number(&self, owner: Option<&str>, count: u32) -> Result<(), Refusal> {
        let QuotaLimits { queued, capacity, .. } = self.limits;
        let most = owner.map_or(capacity, |_| capacity.min(queued));
        if count <= most {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        let detail = format!(
            "these are {count} evaluations, and at most {most} may wait: submit them in parts"
        );
        Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
    }

    /// Reserves places for `count` submissions of `owner`, all or none.
    ///
    /// # Errors
    ///
    /// 429, with the time for another try.
    pub fn reserve(
        self: &Arc<Self>,
        owner: &str,
        count: u32,
        now: Timestamp,
    ) -> Result<Reservation, Refusal> {
        let (owner, mut used) = (Arc::<str>::from(owner), self.used());
        let entry = used.entry(Arc::clone(&owner)).or_default();
        let error = if entry.cpu_ms_on(day_of(now)) >= self.cpu_ms_per_day() {
            Some(self.day_is_used(now))
        } else if entry.queued.saturating_add(entry.reserved).saturating_add(count)
            > self.limits.queued
        {
            let detail = format!("at most {} evaluations of a key may wait", self.limits.queued);
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail);
            Some(refusal.retry_after(QUEUE_RETRY_SECONDS))
        } else {
            entry.reserved += count;
            None
        };
        if entry.is_idle(day_of(now)) {
            used.remove(&owner);
        }
        drop(used);
        match error {
            Some(refusal) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(refusal)
            }
            None => Ok(Reservation { quotas: Arc::clone(self), owner, count }),
        }
    }

    /// Refuses what `owner` wants beside evaluations, if its processor time of the day is used.
    ///
    /// # Errors
    ///
    /// 429, with the time until the next day.
    pub(crate) fn check_day(&self, owner: &str, now: Timestamp) -> Result<(), Refusal> {
        let used = self.used().get(owner).map_or(0, |used| used.cpu_ms_on(day_of(now)));
        if used < self.cpu_ms_per_day() {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(self.day_is_used(now))
    }

    fn cpu_ms_per_day(&self) -> u64 {
        self.limits.cpu_seconds_per_day.saturating_mul(MILLIS)
    }

    fn day_is_used(&self, now: Timestamp) -> Refusal {
        let seconds = self.limits.cpu_seconds_per_day;
        let detail =
            format!("the key has used its {seconds} s of processor time of this day (UTC)");
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds_left(now))
    }

    /// An evaluation of `owner` was accepted.
    pub fn accepted(&self, owner: &str) {
        self.change(owner, |used| used.queued += 1);
    }

    /// An evaluation of `owner` that waited was started.
    pub fn started(&self, owner: &str) {
        self.change(owner, |used| {
            used.queued = used.queued.saturating_sub(1);
            used.running += 1;
        });
    }

    /// An evaluation of `owner` has ended, which ran or waited before.
    pub fn ended(&self, owner: &str, ran: bool, cpu_ms: u64, now: Timestamp) {
        self.change(owner, |used| {
            let place = if ran { &mut used.running } else { &mut used.queued };
            *place = place.saturating_sub(1);
            add_cpu(used, day_of(now), cpu_ms);
        });
    }

    /// What an owner used on a day before a restart.
    pub fn restore_cpu(&self, owner: &str, day: i64, cpu_ms: u64) {
        self.change(owner, |used| add_cpu(used, day, cpu_ms));
    }

    /// Owners with an entry.
    pub fn owners(&self) -> usize {
        self.used().len()
    }

    fn change(&self, owner: &str, change: impl FnOnce(&mut Used)) {
        let mut used = self.used();
        let mut entry = used.remove(owner).unwrap_or_default();
        change(&mut entry);
        if !entry.is_idle(day_of(Timestamp::now())) {
            used.insert(owner.into(), entry);
        }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Arc<str>, Used>> {
        // No code panics while it holds the lock.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add_cpu(used: &mut Used, day: i64, cpu_ms: u64) {
    if used.day == day {
        used.cpu_ms = used.cpu_ms.saturating_add(cpu_ms);
    } else {
        (used.day, used.cpu_ms) = (day, cpu_ms);
    }
}

/// The day of a time, as days since 1970 (UTC).
pub(crate) fn day_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(DAY_SECONDS)
}

/// Seconds until the day ends.
fn seconds_left(now: Timestamp) -> u64 {
    (DAY_SECONDS - now.as_second().rem_euclid(DAY_SECONDS)).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: QuotaLimits = QuotaLimits { queued: 3, capacity: 5, cpu_seconds_per_day: 10 };

    #[test]
    fn a_key_cannot_fill_the_queue() {
        let (quotas, now) = (Quotas::new(LIMITS), Timestamp::now());
        let two = quotas.reserve("a", 2, now).unwrap();
        assert!(quotas.reserve("a", 2, now).is_err(), "all or none");
        let third = quotas.reserve("a", 1, now).unwrap();
        let refused = quotas.reserve("a", 1, now).map(drop).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(5)));
        assert!(quotas.reserve("b", 3, now).is_ok(), "another key has its own");
        // What was committed takes the place of its reservation.
        quotas.accepted("a");
        quotas.accepted("a");
        drop(two);
        drop(third);
        assert!(quotas.reserve("a", 2, now).is_err());
        quotas.started("a");
        assert!(quotas.reserve("a", 2, now).is_ok());
    }

    #[test]
    fn more_than_can_ever_wait_is_not_told_to_wait() {
        let quotas = Quotas::new(LIMITS);
        assert!(quotas.check_number(Some("a"), 3).is_ok() && quotas.check_number(None, 5).is_ok());
        for (owner, count) in [(Some("a"), 4), (None, 6)] {
            let refused = quotas.check_number(owner, count).unwrap_err();
            assert_eq!((refused.status.as_u16(), refused.retry_after), (422, None));
        }
        assert_eq!(quotas.refused(), 2);
    }

    #[test]
    fn a_key_whose_day_is_used_opens_nothing_else() {
        let (quotas, now) = (Quotas::new(LIMITS), Timestamp::now());
        assert!(quotas.check_day("a", now).is_ok());
        quotas.restore_cpu("a", day_of(now), 10_000);
        assert_eq!(quotas.check_day("a", now).unwrap_err().status.as_u16(), 429);
        assert!(quotas.check_day("b", now).is_ok());
    }

    #[test]
    fn parallel_submissions_do_not_pass_the_quota_together() {
        let (quotas, now) = (Quotas::new(LIMITS), Timestamp::now());
        let barrier = std::sync::Barrier::new(16);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        quotas.reserve("a", 1, now).map(std::mem::forget).is_ok()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(passed, 3);
    }

    #[test]
    fn processor_time_is_counted_by_day() {
        let (quotas, now) = (Quotas::new(LIMITS), Timestamp::now());
        for _ in 0..2 {
            quotas.accepted("a");
            quotas.started("a");
            assert!(quotas.reserve("a", 1, now).is_ok());
            quotas.ended("a", true, 5_000, now);
        }
        let refused = quotas.reserve("a", 1, now).map(drop).unwrap_err();
        assert!(refused.retry_after.is_some_and(|seconds| (1..=86_400).contains(&seconds)));
        let tomorrow = now + jiff::SignedDuration::from_hours(24);
        assert!(quotas.reserve("a", 1, tomorrow).is_ok());
        assert!(quotas.reserve("b", 1, now).is_ok());
    }

    #[test]
    fn an_idle_owner_takes_no_memory() {
        let (quotas, now) = (Quotas::new(LIMITS), Timestamp::now());
        for _ in 0..2 {
            quotas.accepted("a");
            quotas.started("a");
        }
        quotas.ended("a", true, 0, now);
        assert_eq!(quotas.owners(), 1);
        quotas.ended("a", true, 0, now);
        assert_eq!(quotas.owners(), 0);
        for owner in 0..1000 {
            drop(quotas.reserve(&owner.to_string(), 1, now).unwrap());
        }
        assert_eq!(quotas.owners(), 0);
    }
}
