//! The conversation with the leader: greeting, heartbeats, asks.

use std::time::Duration;

use raftwork_api::kernel::{Millis, RequestId, WorkerId};
use raftwork_api::stream::{FromWorker, Hello};
use raftwork_api::workers::WorkerMode;

use super::link::{Beats, Link};
use super::{Action, Agent, Ask, Identity, Moment};
use crate::times;

impl Agent {
    pub(super) fn greet(&mut self, now: Moment) {
        let Identity { worker, name, python, slots, capacity, mode } = self.identity.clone();
        let held = self.tasks.list();
        self.link = Link::Greeting(now);
        self.actions.push(Action::Send(FromWorker::Hello(Hello {
            worker,
            name,
            python,
            slots,
            capacity,
            mode,
            held,
        })));
    }

    pub(super) fn welcomed(&mut self, now: Moment, ttl: Millis, heartbeat: Millis) {
        let Link::Greeting(greeted) = self.link else { return };
        self.life.set_ttl(Duration::from_millis(ttl.0));
        // A node that only believes that it leads may say welcome; it cannot answer a heartbeat. So a welcome lengthens
        // no lease. Without a lease there is none to lengthen, and grants are proof enough of a leader.
        if self.tasks.occupied() == 0 {
            self.life.confirm(now, greeted);
        }
        self.link = Link::Up(Beats::new(now, Duration::from_millis(heartbeat.0)));
        self.started.clear();
        self.beat(now);
        self.repeat(now, Duration::ZERO);
    }

    /// Says again what has waited for its answer since `patience` ago.
    fn repeat(&mut self, now: Moment, patience: Duration) {
        self.actions.extend(self.reports.repeat(now, patience).into_iter().map(Action::Send));
        let codes = self.codes.repeat(now, patience).into_iter().map(FromWorker::FetchCode);
        self.actions.extend(codes.map(Action::Send));
        let unanswered = self.ask.filter(|ask| ask.said + patience <= now && self.leaving.is_none());
        if let Some(ask) = unanswered {
            self.ask_for(now, ask.request, ask.max);
        }
    }

    fn ask_for(&mut self, now: Moment, request: RequestId, max: u16) {
        self.ask = Some(Ask { request, max, said: now });
        self.say(FromWorker::Ask { request, max });
    }

    pub(super) fn beat(&mut self, now: Moment) {
        let Link::Up(beats) = &mut self.link else { return };
        let number = beats.send(now);
        self.ask_empty = false;
        let (held, draining) = (self.tasks.list(), self.leaving.is_some());
        self.actions.push(Action::Send(FromWorker::Heartbeat { number, held, draining }));
    }

    pub(super) fn hang_up(&mut self, leader: Option<String>) {
        self.link = Link::Down;
        self.actions.push(Action::HangUp { leader });
    }

    pub(super) fn say(&mut self, message: FromWorker) {
        if self.link.is_up() {
            self.actions.push(Action::Send(message));
        }
    }

    /// Says what the leader should hear now.
    pub(super) fn keep_in_touch(&mut self, now: Moment) {
        let started = std::mem::take(&mut self.started);
        if !started.is_empty() {
            self.say(FromWorker::Started(started));
        }
        if self.link.beats().is_some_and(|beats| beats.next() <= now) {
            self.beat(now);
            self.repeat(now, times::SAY_AGAIN);
        }
        self.ask_for_work(now);
    }

    /// One ask at a time: an answer that crosses a second ask would bring more than there is room for.
    pub(super) fn ask_for_work(&mut self, now: Moment) {
        let room = usize::from(self.identity.capacity).saturating_sub(self.tasks.occupied());
        let wanted = self.identity.mode == WorkerMode::Pull && self.ask.is_none() && room > 0;
        if !wanted || self.ask_empty || !self.link.is_up() || !self.may_start(now) {
            return;
        }
        self.asks += 1;
        let request = request_id(self.identity.worker, self.asks);
        let max = u16::try_from(room).unwrap_or(u16::MAX);
        self.ask_for(now, request, max);
    }
}

/// The n-th ask of a worker: unique, because worker ids are random, and the same if it has to be computed again.
fn request_id(worker: WorkerId, n: u64) -> RequestId {
    RequestId::from_u128(u128::from_be_bytes(*worker.as_bytes()).wrapping_add(n.into()))
}
