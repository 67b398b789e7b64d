//! The proof that a name is ours: answers are put where all edges find them before the authority is told to look.

use convoy_keys::{
    AcmeKey, CertificateName, ChallengeKind, ChallengeRecord, ChallengeToken, KeyAuthorization, Record,
};
use convoy_store::{Revision, Transaction};
use instant_acme::{
    AuthorizationHandle, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, Order,
};
use tokio::time::timeout;

use super::failure::Failure;
use super::job::Job;

/// What has to be taken back when the order is over.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Keys of challenges.
    pub(super) keys: Vec<AcmeKey>,
    /// Values of TXT records.
    pub(super) records: Vec<String>,
}

/// Answers all that the authority asks for.
pub(super) async fn prove(job: &mut Job, order: &mut Order) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Pending => answer(job, authorization).await?,
            AuthorizationStatus::Valid => {}
            other => return Err(Failure::Refused(format!("the proof of the name is {other:?} already"))),
        }
    }
    Ok(())
}

async fn answer(job: &mut Job, mut authorization: AuthorizationHandle<'_>) -> Result<(), Failure> {
    let is_ours =
        matches!(authorization.identifier().identifier, Identifier::Dns(host) if host == job.name.host());
    if !is_ours {
        let other = authorization.identifier().to_string();
        return Err(Failure::Refused(format!("the authority asks for another name: {other:?}")));
    }
    let kind = kind(job, &authorization);
    let offered = authorization.challenges.iter().map(|challenge| format!("{:?}", challenge.r#type));
    let offered = offered.collect::<Vec<_>>().join(", ");
    let Some(mut challenge) = authorization.challenge(wire(kind)) else {
        let error = format!("the authority does not offer {kind} for the name, only {offered}");
        return Err(Failure::Refused(error));
    };
    let refuse = |error: convoy_keys::ChallengeError| Failure::Refused(error.to_string());
    let token = ChallengeToken::parse(&challenge.token).map_err(refuse)?;
    let authorization = challenge.key_authorization();
    let answer = KeyAuthorization::parse(authorization.as_str()).map_err(refuse)?;
    if kind == ChallengeKind::Dns01 {
        present(job, authorization.dns_value()).await?;
    } else {
        let revision = announce(job, token, ChallengeRecord { kind, answer }).await?;
        await_edges(job, revision).await;
    }
    // An edge before us may have told the authority already; once is enough.
    if challenge.status == ChallengeStatus::Pending {
        challenge.set_ready().await?;
    }
    Ok(())
}

/// The kind to answer: one that the authority looks at already, or the one whose turn it is, or another one of ours that it
/// offers.
fn kind(job: &Job, authorization: &AuthorizationHandle<'_>) -> ChallengeKind {
    let orders = &job.context.orders;
    let turn = orders.challenge(job.name.is_wildcard(), job.record.failures);
    let offers = |kind: ChallengeKind| authorization.challenges.iter().find(|one| one.r#type == wire(kind));
    let mine =
        || [turn].into_iter().chain(orders.challenges.iter().copied().filter(|_| !job.name.is_wildcard()));
    let is_looked_at = |kind: &ChallengeKind| {
        offers(*kind).is_some_and(|challenge| challenge.status != ChallengeStatus::Pending)
    };
    mine().find(is_looked_at).or_else(|| mine().find(|kind| offers(*kind).is_some())).unwrap_or(turn)
}

fn wire(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

async fn present(job: &mut Job, value: String) -> Result<(), Failure> {
    let Some(hook) = job.context.orders.dns_hook.clone() else {
        return Err(Failure::Refused(
            "there is no DNS hook; set one, or give a certificate in a file".to_owned(),
        ));
    };
    // Also one that half failed is to be cleaned up.
    job.traces.records.push(value.clone());
    hook.present(job.name.host(), &value).await.map_err(|error| Failure::Refused(error.to_string()))
}

async fn announce(
    job: &mut Job,
    token: ChallengeToken,
    record: ChallengeRecord,
) -> Result<Revision, Failure> {
    let host =
        CertificateName::parse(job.name.host()).map_err(|error| Failure::Refused(error.to_string()))?;
    let key = AcmeKey::Challenge(host, token);
    let json = record.to_json().map_err(|error| Failure::Unwritten(error.to_string()))?;
    let transaction = Transaction::new().put(key.to_string(), json);
    job.traces.keys.push(key);
    job.writer.commit(transaction).await
}

/// Waits until every living edge answers, since the authority may ask any of them.
async fn await_edges(job: &mut Job, revision: Revision) {
    let (deadline, own) = (job.context.orders.edges_deadline, job.context.edge.clone());
    let all = job.world.wait_for(|world| world.all_answer(revision.get(), &own));
    if timeout(deadline, all).await.is_err() {
        tracing::warn!(
            NAME = %job.name,
            "not all edges answer the challenge within {deadline:?}; the authority is told to ask all the same"
        );
    }
}

/// Why the authority did not believe, in its own words.
pub(super) async fn reasons(order: &mut Order) -> Option<String> {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_ok() {
            let errors = authorization.challenges.iter().filter_map(|challenge| {
                Some(format!("{:?}: {}", challenge.r#type, challenge.error.as_ref()?))
            });
            reasons.extend(errors);
        }
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}
