//! Component based servicing as people meet it who mistype, name the wrong file, or have a damaged image.

use insta::assert_snapshot;

use crate::commands::session;
use crate::workshop::Workshop;

/// Makes an image file from the medium's first image with these changes.
fn image(workshop: &Workshop, name: &str, changes: &str) {
    let recipe = format!(
        "recipe: 1\nmedia: ./practice.iso\nimages:\n  - select: {{ index: 1 }}\n    files:\n{changes}drop: {{ index: [2, 3] }}\noutput: {{ wim: ./{name}.wim }}\n"
    );
    workshop.write(&format!("{name}.yaml"), recipe);
    workshop.run(&["build", &format!("{name}.yaml"), "--quiet"]).succeeded();
}

const FOUNDATION: &str = "Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~10.0.26100.1742";

#[test]
fn names_and_places_with_mistakes() {
    let workshop = Workshop::new();
    workshop.write("hello.txt", "hello");
    workshop.write("empty.wim", "");
    workshop.write("broken.iso", &workshop.read("practice.iso")[..400_000]);
    let rollup = "Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.1742.1.11";
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["features", "practice.iso:1", "NetFx33"],
        vec!["features", "practice.iso:1", "Telnet"],
        vec!["features", "practice.iso", "Nonsense-Entirely"],
        vec!["features", "practice.iso:1", "NetFx33", "--format", "json"],
        vec!["capabilities", "practice.iso:1", "Language.Basics~~~en-US~0.0.1.0"],
        vec!["packages", "practice.iso:1", "Package_for_RollupFix"],
        vec!["packages", "practice.iso:1", rollup],
    ];
    for command in ["packages", "features", "capabilities", "health", "verify-native"] {
        for place in ["nowhere.iso", "hello.txt", "empty.wim", "broken.iso", "practice.iso:9", "practice.iso:1/Windows/nope", "inputs"] {
            commands.push(vec![command, place]);
        }
        commands.push(vec![command]);
        commands.push(vec![command, "--help"]);
    }
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    assert_snapshot!(session(&workshop, &commands));
}

#[test]
fn damaged_images() {
    let workshop = Workshop::new();
    let hive = |hive: &str| format!("/Windows/System32/config/{hive}");
    image(&workshop, "no-software", &format!("      - {{ delete: {} }}\n", hive("SOFTWARE")));
    image(&workshop, "no-components", &format!("      - {{ delete: {} }}\n", hive("COMPONENTS")));
    let manifest = format!("/Windows/servicing/Packages/{FOUNDATION}.mum");
    image(&workshop, "cut", &format!("      - {{ content: '<assembly', to: '{manifest}' }}\n"));
    let other = "<assembly xmlns=\"urn:schemas-microsoft-com:asm.v3\"><assemblyIdentity name=\"Other\" version=\"1.0.0.0\" language=\"neutral\" processorArchitecture=\"amd64\" publicKeyToken=\"31bf3856ad364e35\"/><package/></assembly>";
    image(&workshop, "other", &format!("      - {{ content: '{other}', to: '{manifest}' }}\n"));
    let mut commands: Vec<Vec<String>> = Vec::new();
    for name in ["no-software", "no-components", "cut", "other"] {
        let file = format!("{name}.wim");
        for command in [
            vec!["packages", &file, FOUNDATION],
            vec!["features", &file, "Nope"],
            vec!["health", &file, "--allow-unsigned"],
            vec!["verify-native", &file],
        ] {
            commands.push(command.into_iter().map(str::to_owned).collect());
        }
        let recipe = format!(
            "recipe: 1\nmedia: ./{name}.wim\nimages:\n  - select: all\n    features: {{ enable: TelnetClient }}\noutput: {{ wim: ./out.wim }}\n"
        );
        workshop.write(&format!("{name}-feature.yaml"), recipe);
        for command in ["plan", "build"] {
            commands.push(vec![command.into(), format!("{name}-feature.yaml")]);
        }
    }
    let commands: Vec<Vec<&str>> = commands.iter().map(|command| command.iter().map(String::as_str).collect()).collect();
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    assert_snapshot!(session(&workshop, &commands));
    assert!(!workshop.path("out.wim").exists());
}

#[test]
fn recipes_with_mistakes() {
    let workshop = Workshop::new();
    workshop.write("empty/readme.txt", "no update");
    std::fs::create_dir(workshop.path("void")).unwrap();
    workshop.write("text.cab", "no cabinet");
    workshop.write("setup.exe", b"MZ no update");
    let permanent = format!("packages: {{ remove: \"{FOUNDATION}\" }}");
    let cases = [
        ("missing", "updates: ./nowhere"),
        ("void", "updates: ./void"),
        ("no-update", "updates: ./empty"),
        ("text", "updates: ./text.cab"),
        ("exe", "updates: ./setup.exe"),
        ("source", "capabilities: { add: Practice.Tools, source: ./nowhere }"),
        ("no-source", "capabilities: { add: Practice.Tools }"),
        ("feature", "features: { enable: [TelnetClient, TelnetCleint] }"),
        ("disable", "features: { disable: WorkFolder-Client }"),
        ("both", "features: { enable: TelnetClient, disable: TelnetClient }"),
        ("package", "packages: { remove: Package_for_RollupFix }"),
        ("permanent", permanent.as_str()),
        ("dictionary", "features: { enable: TelnetClient }\nservicing: { dictionary: ./nowhere }"),
        ("root", "updates: ./inputs/updates\nservicing: { roots: ./text.cab }"),
        ("words", "features: { enabled: TelnetClient }\npackages: [Name]\nservicing: { deferred: later, cleanup: maybe }"),
        ("types", "updates: { path: 7 }\ncapabilities: Practice.Tools\nfeatures: 3"),
    ];
    for (name, entry) in cases {
        let entry: String = entry.lines().map(|line| format!("    {line}\n")).collect();
        workshop.write(
            &format!("{name}.yaml"),
            format!("recipe: 1\nmedia: ./practice.iso\nimages:\n  - select: {{ index: 1 }}\n{entry}drop: {{ index: [2, 3] }}\noutput: {{ wim: ./out.wim }}\n"),
        );
    }
    let files = cases.map(|(name, _)| format!("{name}.yaml"));
    let plans = files.iter().map(|file| ["plan", file.as_str(), "--why"]).collect::<Vec<_>>();
    let builds = [["build", "feature.yaml", "--quiet"], ["build", "exe.yaml", "--quiet"]];
    let commands: Vec<&[&str]> = plans.iter().chain(&builds).map(<[&str; 3]>::as_slice).collect();
    assert_snapshot!(session(&workshop, &commands));
    assert!(!workshop.path("out.wim").exists());
}
