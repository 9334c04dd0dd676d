//! The sources of a crate as they stand in its files: which file uses which, and how long files and functions are.
//! Nothing is compiled; paths are resolved by the modules and imports that the text shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Block, FnArg, ImplItem, Item, Pat, Signature, Type, UseTree, Visibility,
    spanned::Spanned,
    visit::{self, Visit},
};

/// A path such as `["erp", "odoo", "record"]` below the root of the crate.
type Segments = Vec<String>;

/// A crate: a library, or a program.
#[derive(Default)]
pub(crate) struct Crate {
    /// By their modules. An inline module has an entry of its own, with the file that it stands in.
    modules: BTreeMap<Segments, Module>,
    /// What each file names outside its tests.
    references: Vec<Reference>,
    /// Calls of methods, by the type of the receiver where the text shows it.
    calls: Vec<Call>,
    /// Inherent methods.
    methods: Vec<Method>,
    /// The length of each file without its tests.
    pub(crate) lines: BTreeMap<PathBuf, usize>,
    /// All functions.
    pub(crate) functions: Vec<Function>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    items: BTreeSet<String>,
    /// What a name was imported from, with the path as written.
    imports: BTreeMap<String, Segments>,
    /// Modules all of whose names are imported.
    globs: Vec<Segments>,
}

struct Reference {
    module: Segments,
    file: PathBuf,
    path: Segments,
    /// A re-export counts only where the file uses the name itself.
    unless_unused: Option<String>,
}

/// A method in an `impl` block, which need not be where the type is.
struct Method {
    module: Segments,
    file: PathBuf,
    of: String,
    name: String,
}

struct Call {
    module: Segments,
    file: PathBuf,
    receiver: String,
    method: String,
}

/// A function or method.
pub(crate) struct Function {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
    /// From its signature to its last brace.
    pub(crate) lines: usize,
    pub(crate) of_tests: bool,
}

/// One file uses what another one defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrow {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    /// What it names.
    pub(crate) by: String,
}

impl Crate {
    /// Reads the crate that begins with this file; `read` returns the text of a file, or nothing where there is none.
    pub(crate) fn read(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut sources = Self::default();
        let mut open = vec![Child {
            file: root.to_owned(),
            folder: folder_of(root),
            module: Vec::new(),
            of_tests: false,
        }];
        while let Some(child) = open.pop() {
            let text = read(&child.file);
            let text = text.unwrap_or_else(|| panic!("{} cannot be read", child.file.display()));
            open.extend(sources.add(child, &text, read));
        }
        sources
    }

    /// The functions of a file of the tests, by itself.
    pub(crate) fn functions_of_tests(file: &Path, text: &str) -> Vec<Function> {
        let mut sources = Self::default();
        let child = Child {
            file: file.to_owned(),
            folder: folder_of(file),
            module: Vec::new(),
            of_tests: true,
        };
        sources.add(child, text, &|_| None);
        sources.functions
    }

    /// Adds a file, and returns those of its child modules.
    fn add(&mut self, of: Child, text: &str, read: &dyn Fn(&Path) -> Option<String>) -> Vec<Child> {
        let Child {
            file,
            folder,
            module,
            of_tests,
        } = of;
        let parsed = syn::parse_file(text)
            .unwrap_or_else(|error| panic!("{} cannot be parsed: {error}", file.display()));
        let mut reader = Reader {
            sources: self,
            read,
            file: file.clone(),
            folder,
            module,
            of_tests,
            test_lines: 0,
            receivers: BTreeMap::new(),
            named: BTreeSet::new(),
            children: Vec::new(),
        };
        reader.enter_module();
        reader.visit_file(&parsed);
        let Reader {
            test_lines,
            named,
            children,
            ..
        } = reader;
        if !of_tests {
            let lines = text.lines().count() - test_lines;
            self.lines.insert(file.clone(), lines);
        }
        self.references.retain(|reference| {
            let alias = reference.unless_unused.as_ref();
            reference.file != file || alias.is_none_or(|alias| named.contains(alias))
        });
        children
    }

    /// Which file uses which, without the tests.
    pub(crate) fn arrows(&self) -> BTreeSet<Arrow> {
        let uses = self.references.iter().filter_map(|reference| {
            let path = self.absolute(&reference.module, &reference.path)?;
            let to = self.definition(&path, 0)?.1;
            Some((&reference.file, to, reference.path.join("::")))
        });
        let item = |module: &Segments, name: &String| {
            let path = self.absolute(module, std::slice::from_ref(name))?;
            Some(self.definition(&path, 0)?.0)
        };
        let methods: BTreeMap<(Segments, &String), &PathBuf> = self
            .methods
            .iter()
            .filter_map(|it| Some(((item(&it.module, &it.of)?, &it.name), &it.file)))
            .collect();
        let calls = self.calls.iter().filter_map(|call| {
            let of = item(&call.module, &call.receiver)?;
            let to = *methods.get(&(of, &call.method))?;
            let by = format!("{}::{}()", call.receiver, call.method);
            Some((&call.file, to.clone(), by))
        });
        uses.chain(calls)
            .filter(|(from, to, _)| *from != to)
            .map(|(from, to, by)| Arrow {
                from: from.clone(),
                to,
                by,
            })
            .collect()
    }

    /// The other crates that each file names.
    pub(crate) fn crates(&self) -> BTreeSet<(PathBuf, String)> {
        let outside = self.references.iter().filter(|reference| {
            let path = self.absolute(&reference.module, &reference.path);
            path.is_none()
        });
        let named = outside.filter_map(|it| Some((it.file.clone(), it.path.first()?.clone())));
        named.collect()
    }

    /// A path as it is written in a module, from the root of the crate; `None`: it leads to another crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Segments> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let (_, parent) = module.split_last()?;
                if rest.is_empty() {
                    return Some(parent.to_vec());
                }
                if rest.first().is_some_and(|next| next == "super") {
                    self.absolute(parent, rest)
                } else {
                    Some([parent, rest].concat())
                }
            }
            name => {
                let of = self.modules.get(module)?;
                let child = [module, std::slice::from_ref(first)].concat();
                if self.modules.contains_key(&child) || of.items.contains(name) {
                    return Some([module, path].concat());
                }
                let imported = of.imports.get(name)?;
                if imported.first() == Some(first) {
                    return None;
                }
                let imported = self.absolute(module, imported)?;
                Some([&imported, rest].concat())
            }
        }
    }

    /// Where what a path leads to is defined: its path there, and the file. Re-exports are followed.
    fn definition(&self, path: &[String], depth: usize) -> Option<(Segments, PathBuf)> {
        assert!(depth < 20, "{path:?} is imported in a circle");
        let modules = (0..=path.len()).rev();
        let known = modules.map(|length| path.split_at(length));
        let (module, rest) = known
            .into_iter()
            .find(|(module, _)| self.modules.contains_key(*module))?;
        let of = self.modules.get(module)?;
        let Some(name) = rest.first() else {
            return Some((path.to_vec(), of.file.clone()));
        };
        if !of.items.contains(name) {
            if let Some(imported) = of.imports.get(name)
                && let Some(target) = self.absolute(module, imported)
            {
                return self.definition(&target, depth + 1);
            }
            for glob in &of.globs {
                let inside = self.absolute(module, glob);
                let inside = inside.filter(|inside| {
                    let of = self.modules.get(inside);
                    of.is_some_and(|of| of.items.contains(name) || of.imports.contains_key(name))
                });
                if let Some(inside) = inside {
                    let target = [&inside[..], std::slice::from_ref(name)].concat();
                    return self.definition(&target, depth + 1);
                }
            }
        }
        let item = [module, std::slice::from_ref(name)].concat();
        Some((item, of.file.clone()))
    }
}

/// The files that each file uses.
type Uses<'a> = BTreeMap<&'a PathBuf, BTreeSet<&'a PathBuf>>;

/// Everything that a file uses, and that this uses.
fn reach<'a>(uses: &Uses<'a>, from: &'a PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let files = uses.get(file).into_iter().flatten();
        open.extend(files.filter(|file| reached.insert(**file)));
    }
    reached
}

/// Groups of files that lead back to themselves.
pub(crate) fn circles(arrows: &BTreeSet<Arrow>) -> Vec<BTreeSet<PathBuf>> {
    let mut uses: Uses<'_> = BTreeMap::new();
    for arrow in arrows {
        uses.entry(&arrow.from).or_default().insert(&arrow.to);
    }
    let reached: Uses<'_> = uses
        .keys()
        .map(|file| (*file, reach(&uses, file)))
        .collect();
    let mut circles: BTreeSet<BTreeSet<PathBuf>> = BTreeSet::new();
    for (file, reaches) in &reached {
        let circle: BTreeSet<PathBuf> = reaches
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|it| it.contains(file)))
            .map(|file| (*file).clone())
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

/// A file that is a module.
struct Child {
    file: PathBuf,
    /// Where the files of its own children are.
    folder: PathBuf,
    module: Segments,
    of_tests: bool,
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).to_owned()
}

struct Reader<'a> {
    sources: &'a mut Crate,
    read: &'a dyn Fn(&Path) -> Option<String>,
    file: PathBuf,
    /// Where the files of the module's children are.
    folder: PathBuf,
    module: Segments,
    of_tests: bool,
    test_lines: usize,
    /// Types of `self` and of parameters.
    receivers: BTreeMap<String, String>,
    /// Everything that the file names outside its imports.
    named: BTreeSet<String>,
    children: Vec<Child>,
}

impl Reader<'_> {
    fn enter_module(&mut self) {
        let module = self.sources.modules.entry(self.module.clone());
        module.or_default().file.clone_from(&self.file);
    }

    fn current(&mut self) -> &mut Module {
        self.sources.modules.entry(self.module.clone()).or_default()
    }

    fn define(&mut self, name: &syn::Ident) {
        if !self.of_tests {
            self.current().items.insert(name.to_string());
        }
    }

    fn refer(&mut self, path: Segments, unless_unused: Option<String>) {
        if !self.of_tests {
            self.sources.references.push(Reference {
                module: self.module.clone(),
                file: self.file.clone(),
                path,
                unless_unused,
            });
        }
    }

    fn import(&mut self, tree: &UseTree, path: &[String], is_exported: bool) {
        match tree {
            UseTree::Path(inner) => {
                let path = [path, &[inner.ident.to_string()]].concat();
                self.import(&inner.tree, &path, is_exported);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path, is_exported);
                }
            }
            UseTree::Glob(_) => {
                self.refer(path.to_vec(), None);
                self.current().globs.push(path.to_vec());
            }
            UseTree::Name(name) => self.imported(path, &name.ident, &name.ident, is_exported),
            UseTree::Rename(rename) => {
                self.imported(path, &rename.ident, &rename.rename, is_exported);
            }
        }
    }

    fn imported(
        &mut self,
        path: &[String],
        name: &syn::Ident,
        alias: &syn::Ident,
        is_exported: bool,
    ) {
        let alias = if *name == "self" && *alias == "self" {
            path.last().cloned().unwrap_or_default()
        } else {
            alias.to_string()
        };
        let path = if *name == "self" {
            path.to_vec()
        } else {
            [path, &[name.to_string()]].concat()
        };
        if !self.of_tests {
            self.current().imports.insert(alias.clone(), path.clone());
        }
        self.refer(path, is_exported.then_some(alias));
    }

    fn function(&mut self, signature: &Signature, block: &Block) {
        let first = signature.span().start().line;
        let last = block.brace_token.span.close().end().line;
        self.sources.functions.push(Function {
            file: self.file.clone(),
            name: signature.ident.to_string(),
            lines: last - first + 1,
            of_tests: self.of_tests,
        });
    }

    /// Reads what is inside a function, with the types of its parameters.
    fn inside(&mut self, signature: &Signature, read: impl FnOnce(&mut Self)) {
        let before = self.receivers.clone();
        for input in &signature.inputs {
            if let FnArg::Typed(input) = input
                && let Pat::Ident(name) = &*input.pat
                && let Some(of) = type_name(&input.ty)
            {
                self.receivers.insert(name.ident.to_string(), of);
            }
        }
        read(self);
        self.receivers = before;
    }

    /// Reads an item that may be of the tests alone.
    fn guarded(
        &mut self,
        attributes: &[Attribute],
        item: &impl Spanned,
        read: impl FnOnce(&mut Self),
    ) {
        let before = self.of_tests;
        if !before && attributes.iter().any(is_test) {
            let span = item.span();
            self.test_lines += span.end().line - span.start().line + 1;
            self.of_tests = true;
        }
        read(self);
        self.of_tests = before;
    }

    fn call(&mut self, receiver: String, method: String) {
        if !self.of_tests {
            self.sources.calls.push(Call {
                module: self.module.clone(),
                file: self.file.clone(),
                receiver,
                method,
            });
        }
    }

    /// Paths that stand in the input of a macro, which nobody parses.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Segments = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.named_path(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.named_path(std::mem::take(&mut path));
                    self.tokens(group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.named_path(std::mem::take(&mut path));
                    colons = 0;
                }
            }
        }
        self.named_path(path);
    }

    fn named_path(&mut self, path: Segments) {
        if let Some(first) = path.first() {
            if !self.of_tests {
                self.named.insert(first.clone());
            }
            if path.len() > 1 {
                self.refer(path, None);
            }
        }
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &Vec::new(),
        };
        self.guarded(attributes, item, |reader| {
            match item {
                Item::Const(item) => reader.define(&item.ident),
                Item::Enum(item) => reader.define(&item.ident),
                Item::Fn(item) => reader.define(&item.sig.ident),
                Item::Static(item) => reader.define(&item.ident),
                Item::Struct(item) => reader.define(&item.ident),
                Item::Trait(item) => reader.define(&item.ident),
                Item::Type(item) => reader.define(&item.ident),
                Item::Macro(item) => {
                    if let Some(name) = &item.ident {
                        reader.define(name);
                    }
                }
                _ => {}
            }
            visit::visit_item(reader, item);
        });
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        let name = item.ident.to_string();
        let module = [&self.module[..], std::slice::from_ref(&name)].concat();
        let Some((_, items)) = &item.content else {
            let beside = self.folder.join(format!("{name}.rs"));
            let below = self.folder.join(&name);
            let named = item.attrs.iter().find_map(path_attribute);
            let (file, folder) = match named {
                Some(path) => {
                    let file = folder_of(&self.file).join(path);
                    let folder = folder_of(&file);
                    (file, folder)
                }
                None if (self.read)(&beside).is_some() => (beside, below),
                None => (below.join("mod.rs"), below),
            };
            self.children.push(Child {
                file,
                folder,
                module,
                of_tests: self.of_tests,
            });
            return;
        };
        let inside = self.folder.join(&name);
        let folder = std::mem::replace(&mut self.folder, inside);
        let outer = std::mem::replace(&mut self.module, module);
        if !self.of_tests {
            self.enter_module();
        }
        for item in items {
            self.visit_item(item);
        }
        self.module = outer;
        self.folder = folder;
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let is_exported = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, &[], is_exported);
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        let before = self.receivers.clone();
        if let Some(of) = type_name(&item.self_ty) {
            for name in ["self", "Self"] {
                self.receivers.insert(name.to_owned(), of.clone());
            }
            let is_inherent = item.trait_.is_none();
            for method in item.items.iter().filter(|_| is_inherent && !self.of_tests) {
                if let ImplItem::Fn(method) = method {
                    self.sources.methods.push(Method {
                        module: self.module.clone(),
                        file: self.file.clone(),
                        of: of.clone(),
                        name: method.sig.ident.to_string(),
                    });
                }
            }
        }
        visit::visit_item_impl(self, item);
        self.receivers = before;
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.function(&item.sig, &item.block);
        self.inside(&item.sig, |reader| visit::visit_item_fn(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.guarded(&item.attrs, item, |reader| {
            reader.function(&item.sig, &item.block);
            reader.inside(&item.sig, |reader| {
                visit::visit_impl_item_fn(reader, item);
            });
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        self.inside(&item.sig, |reader| {
            visit::visit_trait_item_fn(reader, item);
        });
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        if let syn::Expr::Path(receiver) = &*call.receiver
            && let Some(receiver) = receiver.path.get_ident()
            && let Some(of) = self.receivers.get(&receiver.to_string())
        {
            self.call(of.clone(), call.method.to_string());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments = path.segments.iter();
        let segments: Segments = segments.map(|it| it.ident.to_string()).collect();
        if let [of, method] = &segments[..] {
            let of = self.receivers.get(of).unwrap_or(of).clone();
            self.call(of, method.clone());
        }
        self.named_path(segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'a syn::Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }

    // Attributes hold no code of the crate.
    fn visit_attribute(&mut self, _: &'a Attribute) {}
}

fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        Type::Reference(reference) => type_name(&reference.elem),
        _ => None,
    }
}

/// `#[cfg(test)]` and `#[test]`.
fn is_test(attribute: &Attribute) -> bool {
    match &attribute.meta {
        syn::Meta::List(list) => {
            list.path.is_ident("cfg") && list.tokens.to_string().trim() == "test"
        }
        meta => meta.path().is_ident("test"),
    }
}

/// `#[path = "…"]`.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    let syn::Meta::NameValue(meta) = &attribute.meta else {
        return None;
    };
    match &meta.value {
        syn::Expr::Lit(literal) if meta.path.is_ident("path") => match &literal.lit {
            syn::Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
