//! Faults that tests switch on: the server's own, the network's, and those of intermediaries.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;
use uuid::Uuid;

use super::Entity;

/// One fault: what goes wrong, for which requests, and for how long. Unless narrowed it concerns every API request,
/// but not the token endpoint, and stays until it is [cleared](super::BusinessCentralSimulator::clear_faults).
#[derive(Debug, Clone)]
pub struct Fault {
    effect: Effect,
    method: Option<Method>,
    entity: Option<Entity>,
    company: Option<Uuid>,
    passed_over: u32,
    times: Option<u32>,
    until: Option<Instant>,
    chance: Option<(f64, fastrand::Rng)>,
}

#[derive(Debug, Clone)]
enum Effect {
    Refuse(Refusal),
    LoseAnswer(LostAnswer),
    AnswerLate(Duration),
    WorkLate(Duration),
}

/// How a request is turned away before anything is done.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) html: bool,
}

/// The answer that the client gets to a write that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostAnswer {
    /// A gateway's 504.
    GatewayTimeout,
    /// A proxy's 502 with a page of HTML.
    BadGatewayPage,
    /// Nothing: the connection is closed. In-process the answer carries [`ANSWER_LOST`](super::ANSWER_LOST) instead.
    ConnectionClosed,
    /// The right status with half a body.
    TruncatedBody,
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self {
            effect,
            method: None,
            entity: None,
            company: None,
            passed_over: 0,
            times: None,
            until: None,
            chance: None,
        }
    }

    /// Requests are turned away with this status; nothing is done.
    pub fn status(status: StatusCode) -> Self {
        Self::new(Effect::Refuse(Refusal {
            status,
            retry_after: None,
            html: false,
        }))
    }

    /// Writes are carried out, but their answer never arrives.
    pub fn lost_answer(instead: LostAnswer) -> Self {
        Self::new(Effect::LoseAnswer(instead))
    }

    /// Requests are carried out at once and answered after this time.
    pub fn slow_answer(delay: Duration) -> Self {
        Self::new(Effect::AnswerLate(delay))
    }

    /// Requests are carried out only after this time, even when the client has given up by then.
    pub fn slow_work(delay: Duration) -> Self {
        Self::new(Effect::WorkLate(delay))
    }

    /// With the header `Retry-After`; of a [`status`](Self::status) only.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        if let Effect::Refuse(refusal) = &mut self.effect {
            refusal.retry_after = Some(wait);
        }
        self
    }

    /// With a page of HTML, as proxies answer; of a [`status`](Self::status) only.
    pub fn as_html(mut self) -> Self {
        if let Effect::Refuse(refusal) = &mut self.effect {
            refusal.html = true;
        }
        self
    }

    /// Only requests of this method on this entity.
    pub fn on(mut self, method: Method, entity: Entity) -> Self {
        self.method = Some(method);
        self.entity = Some(entity);
        self
    }

    /// Only requests on this entity.
    pub fn on_entity(mut self, entity: Entity) -> Self {
        self.entity = Some(entity);
        self
    }

    /// Only requests to this company.
    pub fn in_company(mut self, company: Uuid) -> Self {
        self.company = Some(company);
        self
    }

    /// Not yet the next `count` requests.
    pub fn after(mut self, count: u32) -> Self {
        self.passed_over = count;
        self
    }

    /// Only the next `count` requests.
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    /// Only for this time from now.
    pub fn lasting(mut self, duration: Duration) -> Self {
        self.until = Some(Instant::now() + duration);
        self
    }

    /// Each request with this probability, the same for the same seed.
    pub fn with_probability(mut self, probability: f64, seed: u64) -> Self {
        self.chance = Some((probability, fastrand::Rng::with_seed(seed)));
        self
    }

    fn concerns(&self, method: &Method, entity: Entity, company: Option<Uuid>) -> bool {
        let by_default = match self.effect {
            // A lost answer to a read is no riddle.
            Effect::LoseAnswer(_) => method != Method::GET,
            _ => true,
        };
        self.method
            .as_ref()
            .map_or(by_default, |wanted| wanted == method)
            && self
                .entity
                .map_or(entity != Entity::Token, |wanted| wanted == entity)
            && self.company.is_none_or(|wanted| Some(wanted) == company)
    }

    fn strikes(&mut self) -> bool {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return false;
        }
        if let Some((probability, random)) = &mut self.chance
            && random.f64() >= *probability
        {
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }

    fn is_over(&self) -> bool {
        self.times == Some(0) || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// The fault of a request.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) refuse: Option<Refusal>,
    pub(super) lose: Option<LostAnswer>,
    pub(super) work_late: Duration,
    pub(super) answer_late: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Draws what happens to this request. Of several faults that turn it away or lose its answer the first counts, and
    /// the later ones are not used up.
    pub(super) fn plan(&mut self, method: &Method, entity: Entity, company: Option<Uuid>) -> Plan {
        let mut plan = Plan::default();
        self.0.retain(|fault| !fault.is_over());
        for fault in &mut self.0 {
            let ended = plan.refuse.is_some() || plan.lose.is_some();
            let ending = matches!(fault.effect, Effect::Refuse(_) | Effect::LoseAnswer(_));
            if (ended && ending) || !fault.concerns(method, entity, company) || !fault.strikes() {
                continue;
            }
            match &fault.effect {
                Effect::Refuse(refusal) => plan.refuse = Some(refusal.clone()),
                Effect::LoseAnswer(instead) => plan.lose = Some(*instead),
                Effect::AnswerLate(delay) => plan.answer_late += *delay,
                Effect::WorkLate(delay) => plan.work_late += *delay,
            }
        }
        plan
    }
}
