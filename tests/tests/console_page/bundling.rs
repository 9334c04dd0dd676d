//! The build joins the modules into one file, and fails on what it cannot read.

#[path = "../../../functions/console/build/bundle.rs"]
mod bundle;

use std::collections::BTreeMap;

use bundle::{bundle, style};

fn files(modules: &[(&str, &str)]) -> BTreeMap<String, String> {
    let modules = modules.iter();
    modules
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[test]
fn modules_keep_their_names_to_themselves_and_come_after_what_they_import() {
    let mut files = files(&[
        (
            "app.js",
            "import { show } from \"./a.js\";\nimport { PAGE } from \"./b.js\";\n\nshow(PAGE);\n",
        ),
        (
            "a.js",
            "// Shows.\nimport { PAGE } from \"./b.js\";\n\nconst own = 1;\n/** A page. */\nexport function show(page) {\n  return page + PAGE + own;\n}\n",
        ),
        ("b.js", "const own = 2;\nexport const PAGE = own;\n"),
    ]);
    files.insert("style.css".to_owned(), String::new());
    let text = bundle("app.js", &mut files).unwrap();
    assert_eq!(
        text,
        "const $b = (() => {\nconst own = 2;\nconst PAGE = own;\nreturn { PAGE };\n})();\n\
         const $a = (() => {\nconst { PAGE } = $b;\nconst own = 1;\nfunction show(page) {\nreturn page + PAGE + own;\n}\nreturn { show };\n})();\n\
         const { show } = $a;\nconst { PAGE } = $b;\nshow(PAGE);\n"
    );
    assert_eq!(files.keys().collect::<Vec<_>>(), ["style.css"]);
    assert_eq!(
        style("/* A\n   comment. */\na {\n  color: red;\n}\n").unwrap(),
        "a {\ncolor: red;\n}\n"
    );
}

#[test]
fn what_the_build_cannot_read_ends_it() {
    for (module, words) in [
        ("import x from \"./b.js\";", "line 1"),
        ("import { x as y } from \"./b.js\";", "line 1"),
        ("import { x } from 'b.js';", "line 1"),
        ("import { missing } from \"./b.js\";", "no `missing`"),
        ("import { x } from \"./none.js\";", "no such module"),
        ("export default 1;", "line 1"),
        ("export { x };", "line 1"),
        ("export let changing = 1;", "line 1"),
        ("f();\nconst text = `two\n  lines`;", "line 2"),
        ("/* a */ f();", "line 1"),
        ("import { back } from \"./c.js\";", "imports itself"),
    ] {
        let mut files = files(&[
            ("app.js", module),
            ("b.js", "export const x = 1;"),
            (
                "c.js",
                "import { d } from \"./d.js\";\nexport const back = d;",
            ),
            (
                "d.js",
                "import { back } from \"./c.js\";\nexport const d = back;",
            ),
        ]);
        let fault = bundle("app.js", &mut files).unwrap_err();
        assert!(fault.contains(words), "{module}: {fault}");
    }
    let mut files = files(&[("app.js", "f();"), ("b.js", "export const x = 1;")]);
    let fault = bundle("app.js", &mut files).unwrap_err();
    assert_eq!(fault, "b.js: nothing imports it");
}

/// A sentence is there in both languages or the page is not built.
#[test]
fn a_word_that_is_not_translated_ends_the_build() {
    let with = |table: &str| {
        let mut files = files(&[
            (
                "app.js",
                "import { WORDS } from \"./words.js\";\nf(WORDS);\n",
            ),
            ("words.js", table),
        ]);
        bundle("app.js", &mut files)
    };
    let good =
        "export const WORDS = {\n  \"a\": [\"One\", \"Ett\"], \"b\": [\"Two\", \"Två\"],\n};\n";
    let text = with(good).unwrap();
    for column in ["\"a\\nb\\n\"", "\"One\\nTwo\\n\"", "\"Ett\\nTvå\\n\""] {
        assert!(text.contains(column), "{text}");
    }
    for (bad, words) in [
        (good.replace(", \"Ett\"", ""), "a is not"),
        (good.replace("\"Ett\"", "\"\""), "a is not"),
        (good.replace("\"b\"", "\"a\""), "twice"),
        (good.replace("Ett", "E\\\"tt"), "a is not"),
        (good.replace("};", ""), "last entry"),
    ] {
        let fault = with(&bad).unwrap_err();
        assert!(fault.contains(words), "{bad}: {fault}");
    }
}
