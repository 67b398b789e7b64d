//! Where each client connection stands, and the limits in time, without a timer per request.
//!
//! A connection writes its phase and the time of its last progress; the worker looks at all of them every quarter
//! of a second and wakes those that are over their limit. That costs a store where a timer would cost a
//! registration. Every control lives on one thread; the atomics are there because hyper wants to be able to send the
//! connection's I/O object elsewhere after an upgrade, and relaxed ones are plain loads and stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use convoy_routing::RuleTimeouts;
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::settings::Timeouts;

/// After a polite verdict, so long before a connection is cut.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the rest of a request is read after its answer was sent.
const LINGER: Duration = Duration::from_secs(2);

/// Milliseconds since the proxy started, as exact as the last one who looked at the real clock.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: AtomicU64,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, now: AtomicU64::new(0) }
    }

    /// Looks at the real clock.
    pub(crate) fn refresh(&self) -> Instant {
        let now = Instant::now();
        let millis = u64::try_from(now.duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        self.now.store(millis, Relaxed);
        now
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.load(Relaxed)
    }
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// A request's head is being read.
    Head,
    /// Between requests.
    Idle,
    /// HTTP/2 with open streams, each of which has a control of its own.
    Streams,
    /// A request was read and its answer has not begun.
    Request,
    /// An answer is on its way.
    Answer,
    /// Bytes go both ways.
    Tunnel,
    /// The last answer is sent; what the client still sends is read and thrown away.
    Linger,
}

impl Phase {
    fn from_code(code: u8) -> Self {
        [Self::Head, Self::Idle, Self::Streams, Self::Request, Self::Answer, Self::Tunnel, Self::Linger]
            .into_iter()
            .find(|phase| *phase as u8 == code)
            .unwrap_or(Self::Head)
    }
}

/// What has to happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// Close it at the next opportunity; an idle one at once.
    Close,
    /// Answer the request with a timeout: the target was too slow.
    TargetSlow,
    /// Answer the request with a timeout: its body doesn't come.
    ClientSlow,
    /// Cut it.
    Cut,
}

impl Verdict {
    fn from_code(code: u8) -> Self {
        [Self::Fine, Self::Close, Self::TargetSlow, Self::ClientSlow, Self::Cut]
            .into_iter()
            .find(|verdict| *verdict as u8 == code)
            .unwrap_or(Self::Fine)
    }
}

#[derive(Debug)]
pub(crate) struct Control {
    clock: Arc<Clock>,
    phase: AtomicU8,
    since: AtomicU64,
    verdict: AtomicU8,
    severed: AtomicBool,
    waits_for_client: AtomicBool,
    lingers: AtomicBool,
    waker: AtomicWaker,
    /// Limits of the request's rule, in milliseconds; 0 for the router's own.
    own: OwnLimits,
}

#[derive(Debug, Default)]
struct OwnLimits {
    any: AtomicBool,
    response: AtomicU32,
    stall: AtomicU32,
    request_body: AtomicU32,
    tunnel: AtomicU32,
}

impl OwnLimits {
    fn set(&self, limits: &RuleTimeouts) {
        let millis = |limit: Option<Duration>| {
            limit.map_or(0, |limit| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1))
        };
        self.response.store(millis(limits.response), Relaxed);
        self.stall.store(millis(limits.stall), Relaxed);
        self.request_body.store(millis(limits.request_body), Relaxed);
        self.tunnel.store(millis(limits.tunnel), Relaxed);
        self.any.store(*limits != RuleTimeouts::default(), Relaxed);
    }

    fn over(&self, limits: &Timeouts) -> Timeouts {
        let or = |own: &AtomicU32, other: Duration| match own.load(Relaxed) {
            0 => other,
            millis => Duration::from_millis(millis.into()),
        };
        Timeouts {
            first_byte: or(&self.response, limits.first_byte),
            stall: or(&self.stall, limits.stall),
            request_body: or(&self.request_body, limits.request_body),
            tunnel_idle: or(&self.tunnel, limits.tunnel_idle),
            ..*limits
        }
    }
}

impl Control {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        let since = AtomicU64::new(clock.now());
        Self {
            clock,
            phase: AtomicU8::new(Phase::Head as u8),
            since,
            verdict: AtomicU8::new(Verdict::Fine as u8),
            severed: AtomicBool::new(false),
            waits_for_client: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            own: OwnLimits::default(),
        }
    }

    /// From now on these limits count, until others are set.
    pub(crate) fn set_limits(&self, limits: &RuleTimeouts) {
        // Nobody has any, as a rule, and then nothing is stored.
        if *limits != RuleTimeouts::default() || self.own.any.load(Relaxed) {
            self.own.set(limits);
        }
    }

    /// Whatever it is at, now or next: it ends.
    pub(crate) fn cut(&self) {
        self.severed.store(true, Relaxed);
        self.waker.wake();
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::from_code(self.phase.load(Relaxed))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.waits_for_client.store(false, Relaxed);
        self.verdict.store(Verdict::Fine as u8, Relaxed);
        self.progress();
    }

    /// Something moved.
    pub(crate) fn progress(&self) {
        self.since.store(self.clock.now(), Relaxed);
    }

    /// Bytes came from the client.
    pub(crate) fn received(&self) {
        match self.phase() {
            Phase::Idle => self.enter(Phase::Head),
            Phase::Tunnel => self.progress(),
            Phase::Head | Phase::Streams | Phase::Request | Phase::Answer | Phase::Linger => {}
        }
    }

    /// Bytes went to the client.
    pub(crate) fn sent(&self) {
        if matches!(self.phase(), Phase::Answer | Phase::Tunnel) {
            self.progress();
        }
    }

    /// Whether the request's body is awaited from the client at this moment.
    pub(crate) fn set_waits_for_client(&self, waits: bool) {
        self.waits_for_client.store(waits, Relaxed);
        if !waits {
            self.progress();
        }
    }

    /// The connection ends with this answer although the client is still sending. Closed at once, the kernel would
    /// answer those bytes with a reset, and the client could lose the answer over it (RFC 9112, section 9.6).
    pub(crate) fn set_lingers(&self) {
        self.lingers.store(true, Relaxed);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.severed.load(Relaxed) { Verdict::Cut } else { Verdict::from_code(self.verdict.load(Relaxed)) }
    }

    /// Who is to be woken by a verdict.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// The time since something moved, or since the phase began.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.clock.now().saturating_sub(self.since.load(Relaxed)))
    }

    /// The worker's look: passes a verdict when the connection is over its limit.
    pub(crate) fn judge(&self, limits: &Timeouts, draining_for: Option<Duration>) {
        let own = self.own.any.load(Relaxed).then(|| self.own.over(limits));
        let limits = own.as_ref().unwrap_or(limits);
        let waits_for_client = self.waits_for_client.load(Relaxed);
        let verdict = judge(self.phase(), waits_for_client, self.age(), limits, draining_for);
        if verdict != Verdict::Fine && verdict != self.verdict() {
            self.verdict.store(verdict as u8, Relaxed);
            self.waker.wake();
        }
    }
}

fn judge(
    phase: Phase,
    waits_for_client: bool,
    age: Duration,
    limits: &Timeouts,
    draining_for: Option<Duration>,
) -> Verdict {
    let within = |limit: Duration, verdict: Verdict| match age.checked_sub(limit) {
        None => Verdict::Fine,
        Some(over) if over > PATIENCE => Verdict::Cut,
        Some(_) => verdict,
    };
    match phase {
        Phase::Head => within(limits.header, Verdict::Cut),
        Phase::Idle if draining_for.is_some() => within(limits.drain_idle, Verdict::Close),
        Phase::Idle => within(limits.keep_alive, Verdict::Close),
        Phase::Streams if draining_for.is_some() => Verdict::Close,
        Phase::Streams => Verdict::Fine,
        Phase::Request if waits_for_client => within(limits.request_body, Verdict::ClientSlow),
        Phase::Request => within(limits.first_byte, Verdict::TargetSlow),
        Phase::Answer => within(limits.stall, Verdict::Cut),
        Phase::Tunnel if draining_for.is_some_and(|time| time > limits.drain_tunnel) => Verdict::Cut,
        Phase::Tunnel => within(limits.tunnel_idle, Verdict::Cut),
        Phase::Linger => within(LINGER, Verdict::Cut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_its_limit() {
        let limits = Timeouts::default();
        let seconds = Duration::from_secs;
        for (phase, waits, age, draining, expected) in [
            (Phase::Head, false, 14, None, Verdict::Fine),
            (Phase::Head, false, 15, None, Verdict::Cut),
            (Phase::Idle, false, 74, None, Verdict::Fine),
            (Phase::Idle, false, 75, None, Verdict::Close),
            (Phase::Idle, false, 81, None, Verdict::Cut),
            (Phase::Idle, false, 0, Some(0), Verdict::Fine),
            (Phase::Idle, false, 1, Some(0), Verdict::Close),
            (Phase::Streams, false, 9999, None, Verdict::Fine),
            (Phase::Streams, false, 0, Some(0), Verdict::Close),
            (Phase::Request, false, 59, Some(9), Verdict::Fine),
            (Phase::Request, false, 60, None, Verdict::TargetSlow),
            (Phase::Request, true, 30, None, Verdict::ClientSlow),
            (Phase::Request, false, 66, None, Verdict::Cut),
            (Phase::Answer, false, 59, None, Verdict::Fine),
            (Phase::Answer, false, 60, None, Verdict::Cut),
            (Phase::Tunnel, false, 3599, None, Verdict::Fine),
            (Phase::Tunnel, false, 3600, None, Verdict::Cut),
            (Phase::Tunnel, false, 0, Some(5), Verdict::Fine),
            (Phase::Tunnel, false, 0, Some(6), Verdict::Cut),
            (Phase::Linger, false, 2, None, Verdict::Cut),
        ] {
            let verdict = judge(phase, waits, seconds(age), &limits, draining.map(seconds));
            assert_eq!(verdict, expected, "{phase:?} {age} s, draining for {draining:?} s");
        }
    }

    #[test]
    fn codes_and_names_agree() {
        for phase in [
            Phase::Head,
            Phase::Idle,
            Phase::Streams,
            Phase::Request,
            Phase::Answer,
            Phase::Tunnel,
            Phase::Linger,
        ] {
            assert_eq!(Phase::from_code(phase as u8), phase);
        }
        for verdict in [Verdict::Fine, Verdict::Close, Verdict::TargetSlow, Verdict::ClientSlow, Verdict::Cut]
        {
            assert_eq!(Verdict::from_code(verdict as u8), verdict);
        }
    }

    #[test]
    fn a_rule_has_limits_of_its_own_until_the_next_one() {
        let clock = Arc::new(Clock::new(Instant::now()));
        let control = Control::new(Arc::clone(&clock));
        let limits = Timeouts::default();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        control.set_limits(&RuleTimeouts { response: seconds(2), ..RuleTimeouts::default() });
        control.enter(Phase::Request);
        clock.now.store(2_000, Relaxed);
        control.judge(&limits, None);
        assert_eq!(control.verdict(), Verdict::TargetSlow);
        control.set_limits(&RuleTimeouts::default());
        control.enter(Phase::Request);
        clock.now.store(5_000, Relaxed);
        control.judge(&limits, None);
        assert_eq!(control.verdict(), Verdict::Fine);
    }

    #[test]
    fn progress_starts_the_limit_anew() {
        let clock = Arc::new(Clock::new(Instant::now()));
        let at = |seconds: u64| clock.now.store(seconds * 1000, Relaxed);
        let control = Control::new(Arc::clone(&clock));
        let limits = Timeouts::default();
        control.enter(Phase::Answer);
        for step in 1..4 {
            at(step * 50);
            control.judge(&limits, None);
            assert_eq!(control.verdict(), Verdict::Fine);
            control.sent();
        }
        at(210);
        control.judge(&limits, None);
        assert_eq!(control.verdict(), Verdict::Cut);
    }
}
