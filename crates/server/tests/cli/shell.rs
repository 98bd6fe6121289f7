//! `heliostat completions` and `heliostat man`

use std::collections::BTreeSet;

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

/// Every command as `--help` tells of it, from the program down, with the words of its own options.
pub(crate) fn commands(place: &Place) -> Vec<(Vec<String>, Vec<String>)> {
    let (mut found, mut open) = (Vec::new(), vec![Vec::<String>::new()]);
    while let Some(command) = open.pop() {
        let words = command.iter().map(String::as_str).chain(["--help"]);
        let output = place.run_with(&words.collect::<Vec<_>>(), "");
        assert!(output.status.success(), "{command:?}: {output:?}");
        let help = text(output.stdout);
        let listed = help.lines().skip_while(|line| *line != "Commands:");
        let names = listed.skip(1).take_while(|line| line.starts_with("  "));
        let names = names.filter(|line| !line.starts_with("   "));
        for name in names.filter_map(|line| line.split_whitespace().next()) {
            if name != "help" {
                open.push([command.clone(), vec![name.to_owned()]].concat());
            }
        }
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        let mut options: Vec<String> = options
            .map(|word| word.trim_end_matches([',', '.', ';', ')']).to_owned())
            .filter(|word| word.len() > 3)
            .collect();
        options.sort();
        options.dedup();
        found.push((command, options));
    }
    found
}

#[test]
fn manual_pages_and_shells_know_every_command_and_option() {
    let place = Place::new();
    std::fs::create_dir(place.path("man")).unwrap();
    let output = place.run_with(&["man", "--out", "man"], "");
    assert!(output.status.success(), "{output:?}");
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let output = place.run_with(&["completions", shell], "");
        (shell, text(output.stdout))
    });
    let commands = commands(&place);
    assert!(commands.len() > 60, "{} commands", commands.len());
    let pages: BTreeSet<String> = std::fs::read_dir(place.path("man"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = commands.iter().map(|(command, _)| {
        let words = [vec!["heliostat".to_owned()], command.clone()].concat();
        format!("{}.1", words.join("-"))
    });
    assert_eq!(pages, expected.collect());
    for (command, options) in &commands {
        let words = [vec!["heliostat".to_owned()], command.clone()].concat();
        let page = place.path("man").join(format!("{}.1", words.join("-")));
        let page = std::fs::read_to_string(page).unwrap().replace('\\', "");
        for option in options {
            assert!(page.contains(option), "{option} is not in {words:?}");
        }
        for (shell, script) in &scripts {
            // What clap writes for fish goes two commands deep.
            if *shell == "fish" && command.len() > 2 {
                continue;
            }
            let missing = command.iter().chain(options).find(|word| {
                let word = word.trim_start_matches('-');
                !script.contains(word)
            });
            assert_eq!(missing, None, "{shell} does not know this of {words:?}");
        }
    }
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
