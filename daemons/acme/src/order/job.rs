//! One order, from the ledger to the certificate; or from wherever another edge left it.

use std::sync::Arc;
use std::time::Duration;

use convoy_certificates::{Certificate, Validity};
use convoy_keys::{AcmeKey, CertificateName, IssuedRecord, LedgerRecord, OrderRecord, Record};
use convoy_service::message;
use convoy_store::{Revision, Transaction};
use instant_acme::{Account, CertificateIdentifier, Identifier, NewOrder, Order, OrderStatus, RetryPolicy};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::sync::watch;
use tokio::time::timeout;

use super::campaign::Context;
use super::failure::Failure;
use super::prove::{Traces, prove, reasons};
use super::writer::Writer;
use crate::rules::{failed, ordered, refunded, succeeded};
use crate::serve::World;

/// Longest chain that is kept; one of four certificates has 8 kB.
const CHAIN_MAX: usize = 64 * 1024;
/// The pause between two looks at an order, at first.
const POLL: Duration = Duration::from_millis(250);

/// An order to be placed or to be gone on with.
pub(super) struct Job {
    pub(super) name: CertificateName,
    pub(super) context: Arc<Context>,
    pub(super) writer: Writer,
    pub(super) account: Account,
    pub(super) world: watch::Receiver<Arc<World>>,
    /// What the ledger says of the name.
    pub(super) record: LedgerRecord,
    /// The order that is under way.
    pub(super) order: Option<OrderRecord>,
    /// The certificate that is to be replaced, for an authority that wants to know.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
    pub(super) traces: Traces,
}

impl Job {
    /// Orders. Gives the revision at which the outcome is in the store, whatever it is, and the failure if there is one.
    pub(super) async fn run(mut self) -> (Option<Revision>, Result<(), Failure>) {
        let deadline = self.context.orders.order_deadline;
        let outcome = match timeout(deadline, self.order()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Outage(format!("it did not come to an end within {deadline:?}"))),
        };
        self.clean_up().await;
        match outcome {
            Ok((chain, key)) => match self.finish(chain, key).await {
                Ok(revision) => (Some(revision), Ok(())),
                Err(failure) => (None, Err(failure)),
            },
            Err(failure) => (self.give_up(&failure).await, Err(failure)),
        }
    }

    /// Chain and key, both in PEM.
    async fn order(&mut self) -> Result<(String, String), Failure> {
        let key_of_order = AcmeKey::Order(self.name.clone()).to_string();
        let (mut order, record) = match self.order.clone() {
            Some(record) => {
                self.context.metrics.orders_taken_over.increment();
                tracing::info!(NAME = %self.name, "an order that is under way is gone on with");
                (self.account.order(record.url.clone()).await?, record)
            }
            None => self.place(&key_of_order).await?,
        };
        let opened = self.context.sealing.open(&key_of_order, &record.key);
        let key = opened.map_err(|error| Failure::Refused(format!("{key_of_order}: {error}")))?;
        // Its end is the deadline of the order as a whole.
        let patience =
            RetryPolicy::new().initial_delay(POLL).backoff(1.3).timeout(self.context.orders.order_deadline);
        if order.state().status == OrderStatus::Pending {
            prove(self, &mut order).await?;
            let proved = order.poll_ready(&patience).await;
            if !matches!(proved, Ok(OrderStatus::Ready)) {
                return Err(self.not_proved(&mut order, proved).await);
            }
        }
        match order.state().status {
            OrderStatus::Ready => order.finalize_csr(&self.request(&key)?).await?,
            OrderStatus::Processing | OrderStatus::Valid => {}
            OrderStatus::Pending | OrderStatus::Invalid => {
                return Err(self.not_proved(&mut order, Ok(OrderStatus::Invalid)).await);
            }
        }
        let chain = order.poll_certificate(&patience).await?;
        self.check(&chain, &key)?;
        Ok((chain, key))
    }

    async fn not_proved(
        &self,
        order: &mut Order,
        outcome: Result<OrderStatus, instant_acme::Error>,
    ) -> Failure {
        let failure = match outcome {
            Ok(status) => Failure::Refused(format!("the order is {status:?}")),
            Err(error) => error.into(),
        };
        match (failure, reasons(order).await) {
            (Failure::Refused(_), Some(reasons)) => Failure::Refused(reasons),
            (failure, _) => failure,
        }
    }

    /// Counts the order, places it, and puts down what another edge needs to go on with it.
    async fn place(&mut self, key_of_order: &str) -> Result<(Order, OrderRecord), Failure> {
        let counted = ordered(&self.record, &self.context.orders.limits, self.context.clock.now());
        self.writer.commit(Transaction::new().put(self.key_of_ledger(), json(&counted)?)).await?;
        self.record = counted;
        self.context.metrics.orders_placed.increment();
        let identifiers = [Identifier::Dns(self.name.as_str().to_owned())];
        let mut new = NewOrder::new(&identifiers);
        if let Some(replaces) = self.replaces.clone() {
            new = new.replaces(replaces);
        }
        let order = match self.account.new_order(&new).await.map_err(Failure::from) {
            Ok(order) => order,
            Err(failure) => {
                if !failure.ends_order() {
                    // It never got there, and is not to be counted.
                    self.record = refunded(&self.record);
                }
                return Err(failure);
            }
        };
        let key = KeyPair::generate().map_err(|error| Failure::Unwritten(error.to_string()))?.serialize_pem();
        let record = OrderRecord {
            authority: self.context.orders.directory.clone(),
            url: order.url().to_owned(),
            key: self.context.seal(key_of_order, &key)?,
            since: self.context.clock.stamp(),
        };
        self.writer.commit(Transaction::new().put(key_of_order, json(&record)?)).await?;
        self.order = Some(record.clone());
        tracing::info!(NAME = %self.name, AUTHORITY = %self.context.authority, "a certificate is ordered");
        Ok((order, record))
    }

    fn request(&self, key: &str) -> Result<Vec<u8>, Failure> {
        let refuse = |error: rcgen::Error| Failure::Refused(format!("no request can be made: {error}"));
        let pair = KeyPair::from_pem(key).map_err(refuse)?;
        let mut params = CertificateParams::new([self.name.as_str().to_owned()]).map_err(refuse)?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&pair).map_err(refuse)?.der().to_vec())
    }

    fn check(&self, chain: &str, key: &str) -> Result<(), Failure> {
        let refuse =
            |error: String| Failure::Refused(format!("the authority's certificate is of no use: {error}"));
        if chain.len() > CHAIN_MAX {
            return Err(refuse(format!("it is larger than {CHAIN_MAX} bytes")));
        }
        let certificate = Certificate::parse(chain.as_bytes(), key.as_bytes(), None)
            .map_err(|error| refuse(error.to_string()))?;
        if !certificate.names().iter().any(|name| name == self.name.as_str()) {
            return Err(refuse(format!("it is for {:?}", certificate.names())));
        }
        match certificate.validity(self.context.clock.now()) {
            // An authority's clock may be a moment ahead.
            Validity::Valid | Validity::NotYet => Ok(()),
            Validity::Expired => Err(refuse("it has expired; check this machine's clock".to_owned())),
        }
    }

    /// Takes TXT records back. Keys are taken back with the outcome.
    async fn clean_up(&mut self) {
        let Some(hook) = &self.context.orders.dns_hook else { return };
        for value in std::mem::take(&mut self.traces.records) {
            if let Err(error) = hook.cleanup(self.name.host(), &value).await {
                tracing::warn!(%error, NAME = %self.name, "a TXT record is left behind");
            }
        }
    }

    async fn finish(&self, chain: String, key: String) -> Result<Revision, Failure> {
        let key_of_certificate = AcmeKey::Issued(self.name.clone()).to_string();
        let record = IssuedRecord {
            authority: self.context.orders.directory.clone(),
            chain,
            key: self.context.seal(&key_of_certificate, &key)?,
            since: self.context.clock.stamp(),
        };
        let transaction = Transaction::new()
            .put(key_of_certificate, json(&record)?)
            .put(self.key_of_ledger(), json(&succeeded(&self.record))?);
        let revision = self.writer.commit(self.ended(transaction)).await?;
        self.context.metrics.certificates_issued.increment();
        tracing::info!(
            MESSAGE_ID = message::CERTIFICATE_ISSUED,
            NAME = %self.name,
            AUTHORITY = %self.context.authority,
            "there is a certificate for {}",
            self.name
        );
        Ok(revision)
    }

    /// Writes the failure down, where it can be.
    async fn give_up(&self, failure: &Failure) -> Option<Revision> {
        let blame = failure.blame()?;
        self.context.metrics.orders_failed.increment();
        let (now, limits) = (self.context.clock.now(), &self.context.orders.limits);
        let record = failed(&self.record, limits, now, blame, &failure.to_string(), fastrand::f64());
        tracing::warn!(
            MESSAGE_ID = message::CERTIFICATE_FAILED,
            NAME = %self.name,
            AUTHORITY = %self.context.authority,
            FAILURES = record.failures,
            AGAIN_AT = record.not_before,
            error = %failure,
            "there is no certificate for {}: {failure}",
            self.name
        );
        let transaction = Transaction::new().put(self.key_of_ledger(), json(&record).ok()?);
        let transaction = if failure.ends_order() { self.ended(transaction) } else { transaction };
        self.writer.commit(transaction).await.ok()
    }

    fn ended(&self, transaction: Transaction) -> Transaction {
        let keys = self.traces.keys.iter().map(ToString::to_string);
        let all = keys.chain([AcmeKey::Order(self.name.clone()).to_string()]);
        all.fold(transaction, Transaction::delete)
    }

    fn key_of_ledger(&self) -> String {
        AcmeKey::Ledger(self.context.authority.clone(), self.name.clone()).to_string()
    }
}

fn json(record: &impl Record) -> Result<Vec<u8>, Failure> {
    record.to_json().map_err(|error| Failure::Unwritten(error.to_string()))
}
