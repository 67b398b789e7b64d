//! Single reads, writes and transactions.

use convoy_store::{Answer, Compare, ErrorKind, Operation, Transaction};
use convoy_test_etcd::Etcd;

use crate::support::{store, store_at, value_of};

#[tokio::test]
async fn what_is_written_is_read_listed_and_removed() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    assert_eq!(store.get("/a/1").await.unwrap(), None);

    let first = store.put("/a/1", b"one").await.unwrap();
    let second = store.put("/a/1", b"uno").await.unwrap();
    let entry = store.get("/a/1").await.unwrap().unwrap();
    assert_eq!((entry.value.as_slice(), entry.version, entry.lease), (&b"uno"[..], 2, 0));
    assert_eq!((entry.create_revision, entry.mod_revision), (first, second));

    store.put("/a/2", b"two").await.unwrap();
    store.put("/ab", b"a sibling").await.unwrap();
    let list = store.list("/a/").await.unwrap();
    assert_eq!(list.entries.keys().collect::<Vec<_>>(), ["/a/1", "/a/2"]);
    assert_eq!(list.revision, store.revision().await.unwrap());

    let gone = store.delete("/a/1").await.unwrap();
    assert!(gone > list.revision);
    assert_eq!(store.get("/a/1").await.unwrap(), None);
}

#[tokio::test]
async fn a_transaction_is_made_only_if_its_comparisons_hold() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    let create = || {
        Transaction::new()
            .when(Compare::Absent { key: "/lock".into() })
            .put("/lock", "mine")
            .otherwise(Operation::Get { key: "/lock".into() })
    };
    let made = store.commit(create()).await.unwrap();
    assert!(made.succeeded);
    assert_eq!(made.answers, [Answer::Put(None)]);

    let refused = store.commit(create()).await.unwrap();
    assert!(!refused.succeeded);
    let [Answer::Entries(found)] = refused.answers.as_slice() else { panic!("{:?}", refused.answers) };
    assert_eq!(found["/lock"].value, b"mine");
    assert_eq!(refused.revision, made.revision, "nothing was written");

    let entry = store.get("/lock").await.unwrap().unwrap();
    let guards = [
        (Compare::Present { key: "/lock".into() }, true),
        (Compare::Value { key: "/lock".into(), value: b"mine".to_vec() }, true),
        (Compare::Value { key: "/lock".into(), value: b"yours".to_vec() }, false),
        (Compare::ModRevision { key: "/lock".into(), revision: entry.mod_revision }, true),
        (Compare::Lease { key: "/lock".into(), lease: 0 }, true),
        (Compare::Lease { key: "/lock".into(), lease: 7 }, false),
    ];
    for (guard, holds) in guards {
        let read = Transaction::new().when(guard.clone()).then(Operation::List { prefix: "/".into() });
        assert_eq!(store.commit(read).await.unwrap().succeeded, holds, "{guard:?}");
    }

    let removed = store.commit(Transaction::new().delete("/lock")).await.unwrap();
    let [Answer::Deleted(Some(before))] = removed.answers.as_slice() else { panic!("{removed:?}") };
    assert_eq!(before.value, b"mine");
}

#[tokio::test]
async fn what_etcd_does_not_take_is_an_error_that_says_what_to_do() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);

    store.put("/megabyte", &vec![b'x'; 1 << 20]).await.unwrap();
    assert_eq!(store.get("/megabyte").await.unwrap().unwrap().value.len(), 1 << 20);

    for size in [(3 << 20) / 2 + 1, 3 << 20] {
        let error = store.put("/too-large", &vec![b'x'; size]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        assert!(!error.is_uncertain() && error.to_string().contains("/too-large"), "{error}");
    }

    let many = (0..129).fold(Transaction::new(), |all, number| all.put(format!("/many/{number}"), "x"));
    let error = store.commit(many).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyOperations, "{error}");
    assert!(error.to_string().contains("/many/0 and 128 more"), "{error}");

    let twice = Transaction::new().put("/twice", "1").put("/twice", "2");
    assert_eq!(store.commit(twice).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(value_of(&store, "/twice").await, None);
}

#[tokio::test]
async fn a_listing_larger_than_the_librarys_four_megabytes_is_read() {
    let etcd = Etcd::start(1).await.unwrap();
    let store = store(&etcd);
    for number in 0..6 {
        store.put(&format!("/large/{number}"), &vec![b'x'; 1 << 20]).await.unwrap();
    }
    assert_eq!(store.list("/large/").await.unwrap().entries.len(), 6);
}

#[tokio::test]
async fn a_store_that_can_not_be_reached_is_an_error_and_never_empty() {
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let store = store_at(vec![url.clone()]);
    for error in [store.get("/a").await.unwrap_err(), store.list("/a/").await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(error.endpoint(), Some(url.as_str()));
        assert!(error.to_string().contains("refused"), "{error}");
    }
    let error = store.put("/a", b"").await.unwrap_err();
    assert!(!error.is_uncertain(), "what never went out was certainly not made: {error}");
}
