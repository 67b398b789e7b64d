//! The command line: what is wrong is named, and the exit code says whether trying again helps.

use crate::stage::command;

async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = command().args(arguments).envs(variables.iter().copied()).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

#[tokio::test]
async fn check_says_what_the_configuration_means() {
    let (code, text) = run(
        &["check", "--instance=my-app-12", "--check=http:/up"],
        &[("REGISTRAR_ADDRESS", "10.0.0.7:80"), ("CONVOY_ETCD_ENDPOINTS", "http://10.0.0.1:2379")],
    )
    .await;
    assert_eq!(code, Some(0), "{text}");
    for part in [
        "my-app@12.service",
        "10.0.0.7:80",
        "/services/my-app/upstream/12",
        "http:/up",
        "30 s",
        "http://10.0.0.1:2379",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[tokio::test]
async fn a_mistake_ends_with_ex_config_and_names_its_place() {
    for (arguments, variables, said) in [
        (&["check"][..], &[][..], "--instance: missing; name the instance"),
        (&["check", "--instance=someapp"], &[], "--instance: \"someapp\" has no instance"),
        (&["--instance=a-1"], &[("REGISTRAR_TTL", "1s")], "REGISTRAR_TTL: 1s is outside"),
        (&["--instance=a-1"], &[("CONVOY_PRIVATE_IPV4", "$private_ipv4")], "CONVOY_PRIVATE_IPV4: "),
        (&["--instance=a-1"], &[("CONVOY_ETCD_ENDPOINTS", "10.0.0.1")], "CONVOY_ETCD_ENDPOINTS: "),
        (&["--instance=a-1", "--key=nokey"], &[], "--key: \"nokey\" is no key"),
    ] {
        let (code, text) = run(arguments, variables).await;
        assert_eq!(code, Some(78), "{arguments:?}: {text}");
        assert!(text.contains(said), "{said:?} is missing:\n{text}");
    }
}

#[tokio::test]
async fn an_unknown_option_is_an_error_of_usage() {
    let (code, text) = run(&["--prot=80"], &[]).await;
    assert_eq!(code, Some(2), "{text}");
    let (code, text) = run(&["--version"], &[]).await;
    assert_eq!((code, text.starts_with("registrar ")), (Some(0), true), "{text}");
}
