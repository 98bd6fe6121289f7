//! `heliostat completions` and `heliostat man`

use crate::program::Place;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_shell_learns_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = place.run_with(&["completions", shell], "");
        assert!(output.status.success(), "{output:?}");
        let script = text(output.stdout);
        for word in ["serve", "instance", "credential", "public-url"] {
            assert!(script.contains(word), "{word} is not in the {shell} script");
        }
    }
    let output = place.run_with(&["completions", "cmd.exe"], "");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn bash_takes_the_script_and_completes_with_it() {
    let place = Place::new();
    let script = text(place.run_with(&["completions", "bash"], "").stdout);
    let path = place.file("heliostat.bash", &script);
    let ask = format!(
        "source '{path}'; COMP_WORDS=(heliostat cre); COMP_CWORD=1; \
         _heliostat heliostat cre heliostat; echo \"${{COMPREPLY[*]}}\""
    );
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", &ask])
        .output()
        .unwrap();
    assert_eq!(text(output.stdout).trim(), "credential");
}

#[test]
fn there_is_a_manual_page_for_every_command() {
    let place = Place::new();
    let page = text(place.run_with(&["man"], "").stdout);
    assert!(page.contains(".TH heliostat 1"), "{page}");
    std::fs::create_dir(place.path("man")).unwrap();
    let output = place.run_with(&["man", "--out", "man"], "");
    assert!(output.status.success(), "{output:?}");
    for name in ["heliostat", "heliostat-serve", "heliostat-instance-create"] {
        let page = std::fs::read_to_string(place.path("man").join(format!("{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH {name} 1")), "{name}:\n{page}");
    }
    assert!(!place.path("man").join("heliostat-help.1").exists());

    let output = place.run_with(&["man", "--out", "nowhere"], "");
    assert_eq!(output.status.code(), Some(1));
    let line = text(output.stderr);
    assert!(
        line.contains("nowhere") && line.trim_end().lines().count() == 1,
        "{line}"
    );
}
