//! The command line as a process: exit codes, one line for every failure, nothing written where nothing should be.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

struct Shell {
    home: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_valo"));
        command.args(arguments).env_clear().env("VALO_HOME", self.path().join("config")).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one line of a command that must fail.
    fn bad(&self, arguments: &[&str]) -> String {
        refused(&self.run(arguments))
    }
}

fn refused(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(output.stdout.is_empty(), "nothing on standard output");
    let line = text.strip_prefix("error: ").unwrap_or_else(|| panic!("no error line: {text}"));
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "one line: {text}");
    assert!(!text.contains('\u{1b}'), "no colour where no terminal reads it");
    line.to_owned()
}

#[test]
fn plain_keys() {
    let shell = Shell::new();
    assert_eq!(shell.good(&["key", "list"]).trim(), "no keys; `valo key generate` makes one");
    shell.good(&["key", "generate", "alice", "--plain"]);
    let shown: serde_json::Value = serde_json::from_str(&shell.good(&["key", "show", "alice", "-o", "json"])).unwrap();
    assert_eq!(shown["sealed"], false);
    let file = shell.path().join("config/keys/alice.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let copy = shell.path().join("copy.json");
    let copy = copy.to_str().unwrap();
    shell.good(&["key", "export", "alice", "--out", copy]);
    assert!(shell.bad(&["key", "generate", "alice", "--plain"]).contains("there is a key `alice` already"));
    assert!(shell.bad(&["key", "remove", "alice"]).contains("--yes"));
    shell.good(&["key", "remove", "alice", "--yes"]);
    assert!(shell.bad(&["key", "show", "alice"]).contains("there is no key `alice`"));
    shell.good(&["key", "import", "alice", copy]);
    let again: serde_json::Value = serde_json::from_str(&shell.good(&["key", "show", "-o", "json"])).unwrap();
    assert_eq!(again["publicKey"], shown["publicKey"]);

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(shell.bad(&["key", "show", "alice"]).contains("chmod 600"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "{}").unwrap();
    assert!(shell.bad(&["key", "show", "alice"]).contains("not a key file"));
}

#[test]
fn sealed_keys() {
    let shell = Shell::new();
    assert!(shell.bad(&["key", "generate", "bob"]).contains("VALO_PASSPHRASE"), "nobody to ask");
    let with = |passphrase: &str, arguments: &[&str]| {
        shell.command(arguments).env("VALO_PASSPHRASE", passphrase).output().unwrap()
    };
    assert!(refused(&with("", &["key", "generate", "bob"])).contains("empty passphrase"));
    assert!(with("secret", &["key", "generate", "bob"]).status.success());
    let out = shell.path().join("bob-plain.json");
    let export = ["key", "export", "bob", "--plain", "--yes", "--out", out.to_str().unwrap()];
    assert_eq!(refused(&with("wrong", &export)), "key `bob`: wrong passphrase");
    assert!(!out.exists());
    assert!(with("secret", &export).status.success());
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let file = shell.path().join("passphrase");
    fs::write(&file, "secret\n").unwrap();
    fs::remove_file(&out).unwrap();
    let arguments = [&export[..], &["--passphrase-file", file.to_str().unwrap()]].concat();
    assert!(shell.run(&arguments).status.success());
}

#[test]
fn secrets_come_from_standard_input_only() {
    let shell = Shell::new();
    let import = |text: &str| {
        let mut child = shell
            .command(&["key", "import", "carol", "-", "--plain"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(refused(&import("not a secret")).contains("64 hexadecimal characters"));
    assert!(import(&"07".repeat(32)).status.success());
    let shown = shell.good(&["key", "show", "carol"]);
    assert!(shown.contains("ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"), "{shown}");
}

#[test]
fn profiles() {
    let shell = Shell::new();
    assert!(shell.bad(&["profile", "show"]).contains("no profile is in use"));
    assert!(shell.bad(&["profile", "use", "work"]).contains("there is no profile `work`"));
    let hash = "ab".repeat(32);
    shell.good(&["profile", "set", "work", "--endpoint", "http://127.0.0.1:1", "--genesis", &hash, "--key", "alice"]);
    let shown = shell.good(&["profile", "show", "-o", "yaml"]);
    assert!(shown.contains("endpoint: http://127.0.0.1:1") && shown.contains(&hash), "{shown}");
    assert!(shell.bad(&["profile", "set", "Bad Name"]).contains("not a usable name"));
    assert!(shell.bad(&["account", "show", "--profile", "home", "0000002A"]).contains("there is no profile `home`"));
    shell.good(&["profile", "remove", "work"]);
    assert!(shell.good(&["profile", "list"]).contains("no profiles"));
}

#[test]
fn a_node_that_is_not_there() {
    let shell = Shell::new();
    assert!(shell.bad(&["block", "list"]).contains("`valo dev`"));
    // Nobody listens on port 1 of the loopback.
    let line = shell.bad(&["block", "list", "--endpoint", "http://127.0.0.1:1"]);
    assert!(line.starts_with("cannot reach the node at http://127.0.0.1:1"), "{line}");
    assert!(
        shell.bad(&["block", "list", "--endpoint", "somewhere"]).contains("`somewhere` is not the address of a node")
    );
}

#[test]
fn bad_files_need_no_network_to_be_told() {
    let shell = Shell::new();
    let endpoint = ["--endpoint", "http://127.0.0.1:1"];
    let submit = |file: &str| shell.bad(&[&["job", "submit", file], &endpoint[..]].concat());
    assert!(submit("missing.yaml").contains("cannot read missing.yaml"));
    let path = shell.path().join("job.yaml");
    fs::write(
        &path,
        "apiVersion: valo.network/v1alpha1\nkind: JobContract\nmetadata: {name: x}\nspec: {colour: red}\n",
    )
    .unwrap();
    let line = submit(path.to_str().unwrap());
    assert!(line.contains("spec: unknown field `colour`") && line.contains("line 4"), "{line}");
    assert!(shell.bad(&["tx", "submit", "--hex", "00ff"]).contains("malformed transaction"));
    assert!(shell.bad(&["tx", "submit", "--hex", "xyz"]).contains("not hexadecimal"));
    assert!(shell.bad(&["send", "0", "--to", "0000002A"]).contains("the amount is 0"));
    assert!(shell.bad(&["blob", "get", "blake3:12"]).contains("not a hash"));
    assert!(shell.bad(&["run", "--home", "nowhere"]).contains("valo init"));
    assert!(shell.bad(&["dev", "--validators", "0"]).contains("--validators"));
}

#[test]
fn files_without_end_are_told_in_one_line() {
    let shell = Shell::new();
    let endless: [&[&str]; 9] = [
        &["key", "import", "alice", "/dev/zero"],
        &["key", "generate", "alice", "--passphrase-file", "/dev/zero"],
        &["verify", "1", "--genesis", "/dev/zero", "--endpoint", "http://127.0.0.1:1"],
        &["genesis", "check", "/dev/zero"],
        &["genesis", "new", "/dev/zero"],
        &["init", "--home", "node", "--genesis", "/dev/zero"],
        &["tx", "submit", "--file", "/dev/zero"],
        &["job", "estimate", "/dev/zero", "--endpoint", "http://127.0.0.1:1"],
        &["grant", "show", "/dev/zero", "--endpoint", "http://127.0.0.1:1"],
    ];
    for arguments in endless {
        let line = shell.bad(arguments);
        assert!(line.contains("/dev/zero") && line.contains("has more than"), "{arguments:?}: {line}");
    }
    let home = shell.path().join("node");
    fs::create_dir(&home).unwrap();
    let output = shell.run(&["run", "--home", home.to_str().unwrap(), "--config", "/dev/zero"]);
    assert_eq!(output.status.code(), Some(3), "starting it again does not help");
}

#[test]
fn wrong_usage_ends_with_two() {
    let shell = Shell::new();
    assert_eq!(shell.run(&["job", "statuss"]).status.code(), Some(2));
    // A value that cannot be is bad input, not wrong usage: one line.
    let values: [(&[&str], &str); 9] = [
        (&["send", "--to", "00000001", "--", "-1"], "'-1'"),
        (&["send", "5", "--to", "nobody"], "'nobody'"),
        (&["job", "status", "first"], "'first'"),
        (&["job", "list", "--phase", "done"], "there are funded, placing"),
        (&["block", "list", "--limit", "0"], "'0'"),
        (&["send", "-5", "--to", "00000001"], "'-5'"),
        (&["block", "list", "--limit", "-1"], "'-1'"),
        (&["job", "status", "-1"], "'-1' for '<JOB>': it takes a whole number"),
        (&["node", "list", "-o", "xml"], "'xml' for '--output <FORMAT>' [possible values: table"),
    ];
    for (arguments, part) in values {
        let line = shell.bad(arguments);
        assert!(line.contains(part), "{line}");
    }
    for missing in [&["send", "5", "--to"][..], &["block", "list", "--limit"], &["job", "list", "-o"]] {
        let output = shell.run(missing);
        assert_eq!(output.status.code(), Some(2), "{missing:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("a value is required for"), "{missing:?}");
    }
    assert_eq!(shell.run(&["--version"]).status.code(), Some(0));
}
