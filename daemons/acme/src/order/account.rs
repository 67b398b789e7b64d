//! The account with the authority: one for all edges.

use convoy_keys::{AccountRecord, AcmeKey, Record};
use convoy_store::{Revision, Transaction};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

use super::campaign::Context;
use super::failure::Failure;
use super::transport::Transport;
use super::writer::Writer;

/// The account that is in the store, or a new one that is in the store afterwards.
pub(super) async fn account(
    context: &Context,
    writer: &Writer,
    known: Option<AccountRecord>,
) -> Result<Account, Failure> {
    let http = Box::new(Transport::new(context.orders.trust.as_deref())?);
    let builder = Account::builder_with_http(http);
    let key = AcmeKey::Account(context.authority.clone()).to_string();
    if let Some(record) = known {
        let locked = |error: String| Failure::Locked(format!("the account in {key} can't be used: {error}"));
        let opened =
            context.sealing.open(&key, &record.credentials).map_err(|error| locked(error.to_string()))?;
        let credentials: AccountCredentials =
            serde_json::from_str(&opened).map_err(|error| locked(error.to_string()))?;
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contacts: Vec<_> = context.orders.contacts.iter().map(String::as_str).collect();
    let external = context.orders.external_account.as_ref();
    let external = external.map(|account| ExternalAccountKey::new(account.id.clone(), &account.key));
    let new = NewAccount {
        contact: &contacts,
        terms_of_service_agreed: context.orders.agree_to_terms,
        only_return_existing: false,
    };
    let (account, credentials) =
        builder.create(&new, context.orders.directory.clone(), external.as_ref()).await?;
    let text = serde_json::to_string(&credentials).map_err(|error| Failure::Unwritten(error.to_string()))?;
    let credentials = context.seal(&key, &text)?;
    let record = AccountRecord { credentials, since: context.clock.stamp() };
    let json = record.to_json().map_err(|error| Failure::Unwritten(error.to_string()))?;
    writer.commit(Transaction::new().put(key, json)).await?;
    tracing::info!(AUTHORITY = %context.authority, "there is an account with the authority");
    Ok(account)
}

/// Forgets an account that the authority does not know any more.
pub(super) async fn forget(context: &Context, writer: &Writer) -> Result<Revision, Failure> {
    let key = AcmeKey::Account(context.authority.clone()).to_string();
    writer.commit(Transaction::new().delete(key)).await
}
