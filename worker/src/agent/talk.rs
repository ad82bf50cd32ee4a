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
        let Identity { worker, name, python, slots, mode, tags, .. } = self.identity.clone();
        let (held, capacity) = (self.tasks.list(), self.pace.tell());
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
        if !tags.is_empty() {
            self.actions.push(Action::Send(FromWorker::Offer(tags)));
        }
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
        self.reports.forget_news();
        self.progress.repeat();
        self.beat(now);
        self.repeat(now, Duration::ZERO);
    }

    /// Says again what has waited for its answer since `patience` ago.
    fn repeat(&mut self, now: Moment, patience: Duration) {
        let reports = self.reports.repeat(now, patience);
        self.actions.extend(reports.into_iter().map(Action::Send));
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
        self.say_news(now);
        if self.link.is_up() {
            self.actions.extend(self.progress.tell(now).map(Action::Send));
        }
        if self.link.beats().is_some_and(|beats| beats.next() <= now) {
            self.beat(now);
            self.repeat(now, times::SAY_AGAIN);
        }
        self.ask_for_work(now);
    }

    /// First what the worker will hold: what is given back then is not granted to it again.
    fn say_news(&mut self, now: Moment) {
        if !self.link.is_up() {
            return self.reports.forget_news();
        }
        if self.identity.mode == WorkerMode::Push
            && let Some(capacity) = self.pace.news()
        {
            self.actions.push(Action::Send(FromWorker::Capacity(capacity)));
        }
        if self.news_due().is_some_and(|due| due <= now) {
            self.actions.extend(self.reports.tell().into_iter().map(Action::Send));
        }
    }

    /// When to say what is new. While every slot has its next task, others may join it: nobody waits for this worker then,
    /// and a message for each tiny task would cost more than the task.
    pub(super) fn news_due(&self) -> Option<Moment> {
        let since = self.reports.news_since()?;
        let can_wait = self.tasks.queued_len() >= usize::from(self.identity.slots);
        Some(if can_wait { since + times::GATHER } else { since })
    }

    /// One ask at a time: an answer that crosses a second ask would bring more than there is room for.
    pub(super) fn ask_for_work(&mut self, now: Moment) {
        if self.identity.mode != WorkerMode::Pull || !self.link.is_up() {
            return;
        }
        let room = usize::from(self.pace.capacity()).saturating_sub(self.tasks.occupied());
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        if let Some(ask) = self.ask {
            return self.ask_for_less(now, ask, room);
        }
        // Early enough that the slots do not run dry meanwhile, and not for each task anew.
        let low = self.tasks.queued_len() * 2 <= usize::from(self.pace.prefetch());
        if room == 0 || !low || self.ask_empty || !self.may_start(now) {
            return;
        }
        self.asks += 1;
        let request = request_id(self.identity.worker, self.asks);
        self.ask_for(now, request, room);
    }

    /// An ask that was made for short tasks is not to bring as many long ones.
    fn ask_for_less(&mut self, now: Moment, ask: Ask, room: u16) {
        if room <= ask.max / 2 && ask.max > self.identity.slots {
            self.ask_for(now, ask.request, room);
            // For nothing at all: it is withdrawn.
            self.ask = self.ask.filter(|ask| ask.max > 0);
        }
    }
}

/// The n-th ask of a worker: unique, because worker ids are random, and the same if it has to be computed again.
fn request_id(worker: WorkerId, n: u64) -> RequestId {
    RequestId::from_u128(u128::from_be_bytes(*worker.as_bytes()).wrapping_add(n.into()))
}
