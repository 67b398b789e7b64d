//! Many changes at once.

use std::time::Duration;

use convoy_store::Transaction;
use tokio::time::{Instant, sleep_until};

use crate::stage::Stage;

#[tokio::test]
async fn b3_two_hundred_puts_in_half_a_second_are_two_reloads_and_the_last_value_is_live() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "begin").await;
    stage.resource("a.toml", "reload_cmd = \"cp {{.dest}} {dir}/loaded; echo r >> {dir}/reloads\"\n");
    stage.start();
    stage.wait("the first reload", || stage.lines("reloads") == 1);
    let store = stage.store();
    let begin = Instant::now();
    for number in 0..200u32 {
        sleep_until(begin + Duration::from_micros(2500) * number).await;
        store.put("/app/1", number.to_string().as_bytes()).await.unwrap();
    }
    let took = begin.elapsed();
    stage.wait_text("loaded", "199\n");
    let reloads = stage.lines("reloads") - 1;
    // A busy machine may need longer for the puts than the longest wait.
    let allowed = 2 + usize::try_from(took.as_millis() / 2000).unwrap();
    assert!(reloads <= allowed, "{reloads} reloads in {took:?}");
}

#[tokio::test]
async fn b4_quiet_time_begins_anew_with_each_change() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "begin").await;
    stage.resource("a.toml", "debounce = \"1s\"\nreload_cmd = \"echo r >> {dir}/reloads\"\n");
    stage.start();
    stage.wait("the first reload", || stage.lines("reloads") == 1);
    let store = stage.store();
    // The first change after calm goes at once.
    let begin = Instant::now() + Duration::from_millis(1200);
    // 3 s: more than the quiet time, less than the longest wait, which is four times that.
    for number in 0..15u32 {
        sleep_until(begin + Duration::from_millis(200) * number).await;
        store.put("/app/1", number.to_string().as_bytes()).await.unwrap();
    }
    stage.wait_text("out/a", "14\n");
    stage.wait("the reload of the last", || stage.lines("reloads") >= 3);
    assert_eq!(stage.lines("reloads"), 3, "the first at once, then one for the rest");
}

#[tokio::test]
async fn b5_a_reload_that_is_put_off_is_not_dropped() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource(
        "a.toml",
        "min_reload_interval = \"2s\"\nreload_cmd = \"cp {{.dest}} {dir}/loaded; date +%s%3N >> {dir}/reloads\"\n",
    );
    stage.start();
    stage.wait_text("loaded", "one\n");
    stage.put("/app/1", "two").await;
    stage.wait_text("loaded", "two\n");
    stage.put("/app/1", "three").await;
    stage.wait_text("loaded", "three\n");
    let times: Vec<u64> = stage.read("reloads").lines().map(|line| line.parse().unwrap()).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= 1900, "{times:?}");
    }
}

#[tokio::test]
async fn a_transaction_is_seen_as_a_whole() {
    let mut stage = Stage::new().await;
    let store = stage.store();
    let both = |value: &str| Transaction::new().put("/app/1", value).put("/app/2", value);
    store.commit(both("0")).await.unwrap();
    stage.resource(
        "a.toml",
        "wait = \"0s:0s\"\nreload_cmd = \"tr '\\\\n' ' ' < {{.dest}} >> {dir}/seen; echo >> {dir}/seen\"\n",
    );
    stage.start();
    for number in 1..40 {
        store.commit(both(&number.to_string())).await.unwrap();
    }
    stage.wait_text("out/a", "39\n39\n");
    stage.wait("the last to be seen", || stage.read("seen").ends_with("39 39 \n"));
    for line in stage.read("seen").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.len() == 2 && words[0] == words[1], "{line}");
    }
}

#[tokio::test]
async fn a_sibling_wakes_nobody() {
    let mut stage = Stage::new().await;
    stage.put("/app/1", "one").await;
    stage.resource("a.toml", "");
    stage.start_with(&["-log-level", "debug"]);
    stage.wait_text("out/a", "one\n");
    stage.wait_log("1 file is in place", 1);
    for number in 0..50 {
        stage.put("/app2/x", &number.to_string()).await;
    }
    let last = stage.put("/app/1", "two").await;
    stage.wait_text("out/a", "two\n");
    stage.wait_log(&format!("at revision {last}"), 1);
    assert_eq!(stage.log().matches("1 file is in place").count(), 2, "{}", stage.log());
}
