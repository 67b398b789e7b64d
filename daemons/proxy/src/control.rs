//! Where each client connection stands, and the limits in time, without a timer per request.
//!
//! A connection writes its phase and the time of its last progress; the worker looks at all of them every quarter
//! of a second and wakes those that are over their limit. That costs a store where a timer would cost a
//! registration.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use convoy_routing::RuleTimeouts;
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
    now: Cell<u64>,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, now: Cell::new(0) }
    }

    /// Looks at the real clock.
    pub(crate) fn refresh(&self) -> Instant {
        let now = Instant::now();
        let millis = u64::try_from(now.duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        self.now.set(millis);
        now
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A request's head is being read.
    Head,
    /// Between requests.
    Idle,
    /// HTTP/2 between requests. What comes need not be the next one: a ping is answered, a window opened.
    NoStreams,
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

/// What has to happen to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

pub(crate) struct Control {
    clock: Rc<Clock>,
    phase: Cell<Phase>,
    since: Cell<u64>,
    verdict: Cell<Verdict>,
    severed: Cell<bool>,
    waits_for_client: Cell<bool>,
    moved: Cell<u32>,
    waker: Cell<Option<Waker>>,
    /// Limits of the request's rule; none as a rule.
    own: Cell<Option<Box<RuleTimeouts>>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phase, since, verdict, .. } = self;
        formatter
            .debug_struct("Control")
            .field("phase", phase)
            .field("since", since)
            .field("verdict", verdict)
            .finish_non_exhaustive()
    }
}

impl Control {
    pub(crate) fn new(clock: Rc<Clock>) -> Self {
        let since = Cell::new(clock.now());
        Self {
            clock,
            phase: Cell::new(Phase::Head),
            since,
            verdict: Cell::new(Verdict::Fine),
            severed: Cell::new(false),
            waits_for_client: Cell::new(false),
            moved: Cell::new(0),
            waker: Cell::new(None),
            own: Cell::new(None),
        }
    }

    /// From now on these limits count, until others are set.
    pub(crate) fn set_limits(&self, limits: &RuleTimeouts) {
        self.own.set((*limits != RuleTimeouts::default()).then(|| Box::new(*limits)));
    }

    /// Whatever it is at, now or next: it ends.
    pub(crate) fn cut(&self) {
        self.severed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.waits_for_client.set(false);
        self.verdict.set(Verdict::Fine);
        self.progress();
    }

    /// Something moved.
    pub(crate) fn progress(&self) {
        self.since.set(self.clock.now());
    }

    /// Another number whenever bytes have come or gone.
    pub(crate) fn moved(&self) -> u32 {
        self.moved.get()
    }

    /// Bytes came from the client.
    pub(crate) fn received(&self) {
        self.moved.set(self.moved.get().wrapping_add(1));
        match self.phase.get() {
            Phase::Idle => self.enter(Phase::Head),
            Phase::Tunnel => self.progress(),
            Phase::Head
            | Phase::NoStreams
            | Phase::Streams
            | Phase::Request
            | Phase::Answer
            | Phase::Linger => {}
        }
    }

    /// Bytes went to the client.
    pub(crate) fn sent(&self) {
        self.moved.set(self.moved.get().wrapping_add(1));
        if matches!(self.phase.get(), Phase::Answer | Phase::Tunnel) {
            self.progress();
        }
    }

    /// Whether the request's body is awaited from the client at this moment.
    pub(crate) fn set_waits_for_client(&self, waits: bool) {
        self.waits_for_client.set(waits);
        if !waits {
            self.progress();
        }
    }

    pub(crate) fn is_at(&self, phase: Phase) -> bool {
        self.phase.get() == phase
    }

    pub(crate) fn verdict(&self) -> Verdict {
        if self.severed.get() { Verdict::Cut } else { self.verdict.get() }
    }

    /// Who is to be woken by a verdict.
    pub(crate) fn register(&self, waker: &Waker) {
        let known = self.waker.take().filter(|known| known.will_wake(waker));
        self.waker.set(known.or_else(|| Some(waker.clone())));
    }

    /// The time since something moved, or since the phase began.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.clock.now().saturating_sub(self.since.get()))
    }

    /// The worker's look: passes a verdict when the connection is over its limit.
    pub(crate) fn judge(&self, limits: &Timeouts, draining_for: Option<Duration>) {
        let own = self.own.take();
        let own_limits = own.as_deref().map(|own| limits.with(own));
        self.own.set(own);
        let limits = own_limits.as_ref().unwrap_or(limits);
        let verdict = judge(self.phase.get(), self.waits_for_client.get(), self.age(), limits, draining_for);
        if verdict != Verdict::Fine && verdict != self.verdict() {
            self.verdict.set(verdict);
            self.wake();
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
        Phase::Idle | Phase::NoStreams if draining_for.is_some() => within(limits.drain_idle, Verdict::Close),
        Phase::Idle | Phase::NoStreams => within(limits.keep_alive, Verdict::Close),
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
            (Phase::NoStreams, false, 75, None, Verdict::Close),
            (Phase::NoStreams, false, 1, Some(0), Verdict::Close),
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
    fn a_rule_has_limits_of_its_own_until_the_next_one() {
        let clock = Rc::new(Clock::new(Instant::now()));
        let control = Control::new(Rc::clone(&clock));
        let limits = Timeouts::default();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        control.set_limits(&RuleTimeouts { response: seconds(2), ..RuleTimeouts::default() });
        control.enter(Phase::Request);
        clock.now.set(2_000);
        control.judge(&limits, None);
        assert_eq!(control.verdict(), Verdict::TargetSlow);
        control.set_limits(&RuleTimeouts::default());
        control.enter(Phase::Request);
        clock.now.set(5_000);
        control.judge(&limits, None);
        assert_eq!(control.verdict(), Verdict::Fine);
    }

    #[test]
    fn progress_starts_the_limit_anew() {
        let clock = Rc::new(Clock::new(Instant::now()));
        let at = |seconds: u64| clock.now.set(seconds * 1000);
        let control = Control::new(Rc::clone(&clock));
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

    #[test]
    fn an_answered_ping_is_no_request_that_never_ends() {
        let clock = Rc::new(Clock::new(Instant::now()));
        let limits = Timeouts::default();
        for (phase, verdict) in [(Phase::NoStreams, Verdict::Fine), (Phase::Idle, Verdict::Cut)] {
            clock.now.set(0);
            let control = Control::new(Rc::clone(&clock));
            control.enter(phase);
            clock.now.set(20_000);
            control.received();
            clock.now.set(50_000);
            control.judge(&limits, None);
            assert_eq!(control.verdict(), verdict, "{phase:?}");
        }
    }
}
