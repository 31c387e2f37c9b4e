//! Approvals: asked for once, settled once, forgotten after their time.
//!
//! Whatever settles one enqueues, in the same commit, that the post which asks is to show it: so
//! whoever waits for a decision hears of it by [`Ledger::outbox_changes`].
//!
//! [`Ledger::outbox_changes`]: crate::ledger::Ledger::outbox_changes

use tieline_channel::{ChannelId, EventKey, PostKind};

use crate::id::{ApprovalId, DispatcherId, LaneId, TurnKey};
use crate::ledger::approval::{
    ApprovalEvent, ApprovalRecord, ApprovalState, Asked, Decider, Decision, MAX_ASIDE,
    MAX_OPEN_APPROVALS, MAX_WANTED, NewApproval, Ruled, Ruling, VoidReason, Voided,
};
use crate::ledger::error::LedgerError;
use crate::ledger::key::{self, Class, Key, Table};
use crate::ledger::lane::Stop;
use crate::ledger::post::{Edit, NewPost};
use crate::ledger::time;
use crate::ledger::transaction::Transaction;

/// How long the name of somebody may be, in characters.
const MAX_NAME: usize = 64;

impl Transaction<'_> {
    /// Asks people, unless codex has asked the same before.
    pub(in crate::ledger) fn ask(
        &mut self,
        new: NewApproval,
        say: impl FnOnce(&ApprovalRecord) -> Vec<NewPost>,
    ) -> Result<Asked, LedgerError> {
        let mut turn = self.open(&new.lane, new.turn)?;
        let request = key::call(&new.lane, new.turn, &new.request)?;
        if let Some(record) = self.requested(&request)? {
            return Ok(Asked::Yes {
                record: Box::new(record),
                is_new: false,
            });
        }
        if turn.approvals as usize >= MAX_OPEN_APPROVALS {
            return Ok(Asked::TooMany);
        }
        check_sizes(&new)?;
        let id = ApprovalId::new();
        let now = time::now();
        let mut record = ApprovalRecord {
            id,
            number: self.next_approval(&new)?,
            dispatcher: new.dispatcher,
            lane: new.lane,
            turn: new.turn,
            request: new.request,
            wanted: new.wanted,
            origin: new.origin,
            post: crate::id::OutboxId::from_bytes([0; 16]),
            state: ApprovalState::Open,
            is_rebuffed: false,
            asked_at: now,
            expires_at: time::cut(now.checked_add(new.timeout).unwrap_or(now)),
            order: self.state.take_number(),
        };
        let posts = self.enqueue(say(&record))?;
        if let Some(post) = posts.last() {
            record.post = *post;
        }
        self.put("approval request", Table::Requests, request, &id)?;
        let undecided = key::undecided(&record.dispatcher, record.order)?;
        self.put("open approval", Table::Undecided, undecided, &id)?;
        self.put_approval(&record)?;
        turn.approvals += 1;
        self.put_turn(&record.lane, turn)?;
        Ok(Asked::Yes {
            record: Box::new(record),
            is_new: true,
        })
    }

    /// Takes somebody's word that came by an event, unless that was seen before.
    pub(in crate::ledger) fn rule_on(
        &mut self,
        ruling: Ruling,
        event: Option<(ChannelId, EventKey)>,
        say: impl FnOnce(&Ruled) -> Vec<NewPost>,
    ) -> Result<Ruled, LedgerError> {
        if let Some((channel, event)) = event
            && !self.note(&channel, &event)?
        {
            return Ok(Ruled::Duplicate);
        }
        let ruled = self.rule(ruling)?;
        let posts = say(&ruled);
        self.enqueue(posts)?;
        Ok(ruled)
    }

    /// Takes somebody's word.
    pub(super) fn rule(&mut self, ruling: Ruling) -> Result<Ruled, LedgerError> {
        let Some(mut record) = self.approval(ruling.approval)? else {
            return Ok(Ruled::Unknown);
        };
        let now = time::now();
        if !ruling.may {
            let is_first = record.state.is_open() && !record.is_rebuffed;
            if is_first {
                record.is_rebuffed = true;
                self.put_approval(&record)?;
            }
            return Ok(Ruled::NotAllowed {
                record: Box::new(record),
                is_first,
            });
        }
        if !record.state.is_open() {
            return Ok(Ruled::Settled(Box::new(record)));
        }
        if now >= record.expires_at {
            let record = self.settle_approval(record, ApprovalEvent::Expired { at: now }, false)?;
            return Ok(Ruled::Settled(Box::new(record)));
        }
        let decision = match ruling.decision {
            // What cannot be had for the session is had once.
            Decision::AcceptForSession if !record.wanted.for_session => Decision::Accept,
            decision => decision,
        };
        let event = ApprovalEvent::Decided {
            decision,
            by: cut_name(ruling.by),
            at: now,
        };
        let record = self.settle_approval(record, event, ruling.is_answered)?;
        if decision == Decision::Cancel {
            let (user, name) = match &record.state {
                ApprovalState::Decided {
                    by: Decider::Person { user, name, .. },
                    ..
                } => (Some(user.clone()), name.clone()),
                _ => (None, None),
            };
            let stop = Stop {
                by: None,
                origin: Some(record.origin.clone()),
                user,
                name,
            };
            if self.open(&record.lane, record.turn).is_ok() {
                self.stop_turn(&record.lane, stop)?;
            }
        }
        Ok(Ruled::Decided(Box::new(record)))
    }

    /// Declines an approval whose time is over, unless it is settled already.
    pub(in crate::ledger) fn expire_approval(
        &mut self,
        id: ApprovalId,
    ) -> Result<Option<ApprovalRecord>, LedgerError> {
        let Some(record) = self.approval(id)? else {
            return Ok(None);
        };
        let now = time::now();
        if !record.state.is_open() || now < record.expires_at {
            return Ok(Some(record));
        }
        let event = ApprovalEvent::Expired { at: now };
        self.settle_approval(record, event, false).map(Some)
    }

    /// Ends what is open and needed no longer.
    pub(in crate::ledger) fn void_approvals(
        &mut self,
        which: &Voided,
        reason: VoidReason,
    ) -> Result<Vec<ApprovalRecord>, LedgerError> {
        let mut voided = Vec::new();
        let candidates = match which {
            Voided::Dispatcher(dispatcher) => self.open_approvals(dispatcher)?,
            Voided::Turn(lane, turn) => self.approvals_of(lane, *turn)?,
            Voided::Request(lane, turn, request) => {
                let request = key::call(lane, *turn, request)?;
                self.requested(&request)?.into_iter().collect()
            }
        };
        for record in candidates.into_iter().filter(|it| it.state.is_open()) {
            // Whoever has stopped the turn is why codex does not ask any more.
            let is_stopped = self
                .open(&record.lane, record.turn)
                .is_ok_and(|turn| turn.stop.is_some());
            let reason = match reason {
                VoidReason::Withdrawn | VoidReason::TurnEnded if is_stopped => VoidReason::Stopped,
                reason => reason,
            };
            let at = time::now();
            let event = ApprovalEvent::Voided { reason, at };
            voided.push(self.settle_approval(record, event, false)?);
        }
        Ok(voided)
    }

    /// Ends and forgets by their requests what a turn has asked for: nobody asks for them again.
    pub(super) fn forget_requests(
        &mut self,
        lane: &LaneId,
        turn: TurnKey,
    ) -> Result<(), LedgerError> {
        self.void_approvals(&Voided::Turn(lane.clone(), turn), VoidReason::TurnEnded)?;
        let prefix = key::calls(lane, turn)?;
        for (key, _) in self.scan(Table::Requests, &prefix, &prefix, usize::MAX)? {
            self.remove(Table::Requests, key);
        }
        Ok(())
    }

    /// Returns an approval.
    pub(in crate::ledger) fn approval(
        &mut self,
        id: ApprovalId,
    ) -> Result<Option<ApprovalRecord>, LedgerError> {
        self.get("approval", Table::Approvals, &key::approval(id))
    }

    /// Returns the open approvals of a dispatcher, oldest first.
    pub(in crate::ledger) fn open_approvals(
        &mut self,
        dispatcher: &DispatcherId,
    ) -> Result<Vec<ApprovalRecord>, LedgerError> {
        let prefix = key::dispatcher(dispatcher)?;
        let mut records = Vec::new();
        for (_, value) in self.scan(Table::Undecided, &prefix, &prefix, usize::MAX)? {
            records.extend(self.approval(value.decode("open approval")?)?);
        }
        Ok(records)
    }

    /// Returns the newest approvals, the newest first.
    pub(in crate::ledger) fn recent_approvals(
        &mut self,
        limit: usize,
    ) -> Result<Vec<ApprovalRecord>, LedgerError> {
        // Their ids sort by time.
        let newest = self.scan_back(Table::Approvals, limit)?;
        newest
            .iter()
            .map(|(_, value)| value.decode("approval"))
            .collect()
    }

    /// Forgets an approval that is settled.
    pub(super) fn expire_settled_approval(&mut self, key: &Key) {
        self.remove(Table::Approvals, key.clone());
    }

    fn approvals_of(
        &mut self,
        lane: &LaneId,
        turn: TurnKey,
    ) -> Result<Vec<ApprovalRecord>, LedgerError> {
        let prefix = key::calls(lane, turn)?;
        let mut records = Vec::new();
        for (_, value) in self.scan(Table::Requests, &prefix, &prefix, usize::MAX)? {
            records.extend(self.approval(value.decode("approval request")?)?);
        }
        Ok(records)
    }

    /// Returns what a request has led to.
    fn requested(&mut self, request: &Key) -> Result<Option<ApprovalRecord>, LedgerError> {
        match self.get("approval request", Table::Requests, request)? {
            Some(id) => self.approval(id),
            None => Ok(None),
        }
    }

    /// Settles an approval that is open, and has its post show so.
    fn settle_approval(
        &mut self,
        record: ApprovalRecord,
        event: ApprovalEvent,
        is_answered: bool,
    ) -> Result<ApprovalRecord, LedgerError> {
        let state = record.state.clone().on(event)?;
        let record = ApprovalRecord { state, ..record };
        self.remove(
            Table::Undecided,
            key::undecided(&record.dispatcher, record.order)?,
        );
        if let Ok(mut turn) = self.open(&record.lane, record.turn) {
            turn.approvals = turn.approvals.saturating_sub(1);
            self.put_turn(&record.lane, turn)?;
        }
        self.expire_later(Class::Approval, time::now(), &key::approval(record.id))?;
        self.put_approval(&record)?;
        self.enqueue(vec![NewPost {
            channel: record.origin.channel.clone(),
            to: record.origin.conversation.clone(),
            reply_to: None,
            settles: Vec::new(),
            kind: PostKind::Notice,
            text: String::new(),
            buttons: Vec::new(),
            as_file: None,
            file: None,
            reaction: None,
            edit: Some(Edit {
                post: record.post,
                approval: record.id,
                is_answered,
            }),
        }])?;
        Ok(record)
    }

    /// Returns the next number in the conversation where people are asked.
    fn next_approval(&mut self, new: &NewApproval) -> Result<u32, LedgerError> {
        let open = self.open_approvals(&new.dispatcher)?;
        let here = open.iter().filter(|it| it.origin == new.origin);
        let highest = here.map(|it| it.number).max().unwrap_or(0);
        self.count_approval(&new.origin.channel, &new.origin.conversation, highest)
    }

    fn put_approval(&mut self, record: &ApprovalRecord) -> Result<(), LedgerError> {
        let key = key::approval(record.id);
        self.put("approval", Table::Approvals, key, record)
    }
}

fn check_sizes(new: &NewApproval) -> Result<(), LedgerError> {
    let wanted = &new.wanted;
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    for (what, bytes, limit) in [
        ("what is wanted", wanted.what.len(), MAX_WANTED),
        ("the place", length(&wanted.place), MAX_ASIDE),
        ("the reason", length(&wanted.reason), MAX_ASIDE),
    ] {
        if bytes > limit {
            return Err(LedgerError::TooLarge { what, bytes, limit });
        }
    }
    Ok(())
}

fn cut_name(by: Decider) -> Decider {
    match by {
        Decider::Operator => Decider::Operator,
        Decider::Person {
            channel,
            user,
            name,
        } => Decider::Person {
            channel,
            user,
            name: name.map(|name| name.chars().take(MAX_NAME).collect()),
        },
    }
}
