//! Certificates and users.

use convoy_store::{ErrorKind, Store, StoreSettings, TlsSettings};
use convoy_test_etcd::{Certificates, Etcd, Options};

use crate::support::{Reader, owner, settings, value_of, within};

async fn with_tls() -> (Etcd, TlsSettings) {
    let etcd = Etcd::start_with(Options { tls: true, ..Options::default() }).await.unwrap();
    let files = etcd.certificates().unwrap().clone();
    let tls = TlsSettings {
        ca: files.ca,
        cert: Some(files.client_cert),
        key: Some(files.client_key),
        server_name: None,
    };
    (etcd, tls)
}

fn store(etcd: &Etcd, tls: TlsSettings) -> Store {
    Store::new(StoreSettings { tls: Some(tls), ..settings(etcd.endpoints()) }).unwrap()
}

#[tokio::test]
async fn everything_works_over_tls_with_a_client_certificate() {
    let (etcd, tls) = with_tls().await;
    let store = store(&etcd, tls.clone());
    let owner = owner(&store, 30, &[("/s/1", "a")]).await;
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    store.put("/s/2", b"b").await.unwrap();
    reader.until("the change", |mirror| mirror.len() == 2).await;
    owner.release(std::time::Duration::from_secs(3)).await.unwrap();
    assert_eq!(value_of(&store, "/s/1").await, None);

    let named = TlsSettings { server_name: Some("etcd.convoy.test".into()), ..tls };
    self::store(&etcd, named).get("/s/2").await.unwrap();
}

#[tokio::test]
async fn wrong_certificates_are_errors_and_nothing_is_sent() {
    let (etcd, tls) = with_tls().await;
    let directory = tempfile::tempdir().unwrap();
    let strangers = Certificates::make(directory.path(), etcd.member(0).address().ip()).unwrap();
    for (name, wrong) in [
        ("a stranger's authority", TlsSettings { ca: strangers.ca.clone(), ..tls.clone() }),
        ("another name", TlsSettings { server_name: Some("other.convoy.test".into()), ..tls.clone() }),
        ("no client certificate", TlsSettings { cert: None, key: None, ..tls.clone() }),
        (
            "a stranger's client certificate",
            TlsSettings {
                cert: Some(strangers.client_cert.clone()),
                key: Some(strangers.client_key.clone()),
                ..tls.clone()
            },
        ),
    ] {
        let error = store(&etcd, wrong).put("/a", b"1").await.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{name}: {error}");
    }
    assert_eq!(value_of(&store(&etcd, tls), "/a").await, None);
}

#[tokio::test]
async fn a_user_works_within_its_role_and_a_wrong_password_is_refused() {
    let etcd = Etcd::start(1).await.unwrap();
    etcd.enable_auth("convoy", "s3cret", "/s/").await.unwrap();
    let with = |user: Option<(&str, &str)>| {
        let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
        Store::new(StoreSettings { user, ..settings(etcd.endpoints()) }).unwrap()
    };
    let store = with(Some(("convoy", "s3cret")));
    store.put("/s/1", b"a").await.unwrap();
    let mut reader = Reader::listed(&store, &["/s/"]).await;
    let owner = owner(&store, 3, &[("/s/2", "b")]).await;
    reader.until("the change", |mirror| mirror.len() == 2).await;

    // Tokens live in the members' memory: after a restart a new one is needed.
    etcd.member(0).restart().await.unwrap();
    let last = within("a new token", async {
        loop {
            if let Ok(revision) = store.put("/s/1", b"c").await {
                break revision;
            }
        }
    })
    .await;
    reader.until("the change", |mirror| mirror.revision() >= last).await;
    owner.release(std::time::Duration::from_secs(3)).await.unwrap();

    for refused in [with(None), with(Some(("convoy", "wrong"))), with(Some(("nobody", "s3cret")))] {
        let error = refused.get("/s/1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    assert_eq!(store.get("/t/1").await.unwrap_err().kind(), ErrorKind::Refused);
}
