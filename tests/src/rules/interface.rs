//! The exports of a stage, as one text that can be compared: the names in its `lib.rs`, each with
//! its signature, without bodies and private items.
//!
//! It reads syntax and resolves nothing but the stage's own modules: a type of another crate is
//! listed as in the source, and implementations for such a type are not listed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use syn::{Attribute, Fields, FieldsNamed, ImplItem, Item, TraitItem, UseTree, Visibility};

/// Modules by their paths, joined by `::`; that of the crate is empty.
type Modules = BTreeMap<String, Vec<Item>>;

/// The exported items of the crate with its sources in `directory`, as Rust.
///
/// # Errors
///
/// When a source cannot be read or parsed, or an exported name is not defined.
pub fn interface(dir: &Path) -> anyhow::Result<String> {
    let mut modules = Modules::new();
    read(&dir.join("lib.rs"), dir, "", &mut modules)?;
    let mut exported = BTreeMap::new();
    for item in &modules[""] {
        export(item, "", &modules, &mut exported)?;
    }
    let mut items: Vec<Item> = Vec::new();
    for (name, item) in &exported {
        items.push(item.clone());
        items.extend(implementations(name, &modules));
    }
    anyhow::ensure!(!items.is_empty(), "{} exports nothing", dir.display());
    Ok(prettyplease::unparse(&syn::File { shebang: None, attrs: Vec::new(), items }))
}

/// Reads a file and the files of its modules, which are in `directory`.
fn read(file: &Path, dir: &Path, name: &str, modules: &mut Modules) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
    for item in &parsed.items {
        let Item::Mod(module) = item else { continue };
        if module.content.is_some() || is_test(&module.attrs) {
            continue;
        }
        let ident = module.ident.to_string();
        let (file, dir) = match path_attribute(&module.attrs) {
            // `dir/mod.rs`: its modules are beside it.
            Some(path) => {
                let file = file.with_file_name(path);
                let dir = file.parent().map(Path::to_path_buf).unwrap_or_default();
                (file, dir)
            }
            None => (dir.join(&ident).with_extension("rs"), dir.join(&ident)),
        };
        read(&file, &dir, &joined(name, &ident), modules)?;
    }
    modules.insert(name.to_owned(), parsed.items);
    Ok(())
}

/// The path of `#[path = "..."]`, if there is one.
fn path_attribute(attributes: &[Attribute]) -> Option<PathBuf> {
    attributes.iter().find_map(|attribute| {
        let pair = attribute.meta.require_name_value().ok()?;
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else {
            return None;
        };
        pair.path.is_ident("path").then(|| path.value().into())
    })
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|ident| ident == "test")
    })
}

fn joined(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// Adds the exports of `item` of `module` to `exported`.
fn export(
    item: &Item,
    module: &str,
    modules: &Modules,
    exported: &mut BTreeMap<String, Item>,
) -> anyhow::Result<()> {
    match item {
        Item::Use(import) if matches!(import.vis, Visibility::Public(_)) => {
            for (path, name) in leaves(&import.tree) {
                let found = find(&path, module, modules);
                let item = found.with_context(|| format!("nothing defines {path}"))?;
                exported.insert(name, item);
            }
        }
        Item::Mod(inner) if matches!(inner.vis, Visibility::Public(_)) => {
            bail!("pub mod {}: export names, not modules", inner.ident)
        }
        _ => {
            if let Some((name, item)) = public(item) {
                exported.insert(name, item);
            }
        }
    }
    Ok(())
}

/// The paths of a `use`, each with its local name.
fn leaves(tree: &UseTree) -> Vec<(String, String)> {
    match tree {
        UseTree::Path(path) => {
            let inner = leaves(&path.tree).into_iter();
            let ahead = path.ident.to_string();
            inner.map(|(path, name)| (joined(&ahead, &path), name)).collect()
        }
        UseTree::Name(name) => vec![(name.ident.to_string(), name.ident.to_string())],
        UseTree::Rename(rename) => vec![(rename.ident.to_string(), rename.rename.to_string())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
        UseTree::Glob(_) => vec![("*".to_owned(), "*".to_owned())],
    }
}

/// The definition of `path` in `module`, through its imports.
fn find(path: &str, module: &str, modules: &Modules) -> Option<Item> {
    let path = path.strip_prefix("crate::").unwrap_or(path);
    let (of, name) = path.rsplit_once("::").unwrap_or(("", path));
    let home =
        if modules.contains_key(&joined(module, of)) { joined(module, of) } else { of.into() };
    for item in modules.get(&home)? {
        match item {
            Item::Use(import) => {
                let mut leaves = leaves(&import.tree).into_iter();
                if let Some((path, _)) = leaves.find(|(_, own)| own == name) {
                    return find(&path, &home, modules);
                }
            }
            _ => match public(item) {
                Some((own, item)) if own == name => return Some(item),
                _ => {}
            },
        }
    }
    None
}

/// The name and the public form of an item, if it is public.
fn public(item: &Item) -> Option<(String, Item)> {
    let mut item = item.clone();
    let (ident, vis, attrs) = match &mut item {
        Item::Struct(it) => {
            it.fields = visible(&it.fields);
            (&it.ident, &it.vis, &mut it.attrs)
        }
        Item::Enum(it) => {
            for variant in &mut it.variants {
                variant.attrs.clear();
                variant.fields.iter_mut().for_each(|field| field.attrs.clear());
            }
            (&it.ident, &it.vis, &mut it.attrs)
        }
        Item::Trait(it) => {
            it.items.iter_mut().for_each(without_body);
            (&it.ident, &it.vis, &mut it.attrs)
        }
        Item::Fn(it) => {
            it.block.stmts.clear();
            (&it.sig.ident, &it.vis, &mut it.attrs)
        }
        Item::Const(it) => (&it.ident, &it.vis, &mut it.attrs),
        Item::Type(it) => (&it.ident, &it.vis, &mut it.attrs),
        _ => return None,
    };
    attrs.retain(|attribute| attribute.path().is_ident("derive"));
    let name = ident.to_string();
    matches!(vis, Visibility::Public(_)).then_some((name, item))
}

/// The public fields.
fn visible(fields: &Fields) -> Fields {
    let Fields::Named(fields) = fields else { return fields.clone() };
    let public = fields.named.iter().filter(|field| matches!(field.vis, Visibility::Public(_)));
    let bare = public.map(|field| syn::Field { attrs: Vec::new(), ..field.clone() });
    Fields::Named(FieldsNamed { named: bare.collect(), ..fields.clone() })
}

fn without_body(item: &mut TraitItem) {
    match item {
        TraitItem::Fn(method) => {
            method.attrs.clear();
            if let Some(block) = &mut method.default {
                block.stmts.clear();
            }
        }
        TraitItem::Const(it) => it.attrs.clear(),
        TraitItem::Type(it) => it.attrs.clear(),
        _ => {}
    }
}

/// The implementations for the type `name`: its public functions, and the names of traits.
fn implementations(name: &str, modules: &Modules) -> Vec<Item> {
    let mut found: Vec<(String, Item)> = Vec::new();
    for item in modules.values().flatten() {
        let Item::Impl(it) = item else { continue };
        let syn::Type::Path(own) = &*it.self_ty else { continue };
        if own.path.segments.last().is_none_or(|segment| segment.ident != name) {
            continue;
        }
        let mut it = it.clone();
        it.attrs.clear();
        if it.trait_.is_some() {
            it.items.clear();
        }
        it.items.retain_mut(seen);
        if it.trait_.is_some() || !it.items.is_empty() {
            let item = Item::Impl(it);
            let file = syn::File { shebang: None, attrs: Vec::new(), items: vec![item.clone()] };
            found.push((prettyplease::unparse(&file), item));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found.into_iter().map(|(_, item)| item).collect()
}

/// Whether a function or constant is public; it has no body and no comment then.
fn seen(item: &mut ImplItem) -> bool {
    match item {
        ImplItem::Fn(it) => {
            it.attrs.clear();
            it.block.stmts.clear();
            matches!(it.vis, Visibility::Public(_))
        }
        ImplItem::Const(it) => {
            it.attrs.clear();
            matches!(it.vis, Visibility::Public(_))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> anyhow::Result<String> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        interface(dir.path())
    }

    #[test]
    fn what_is_exported_is_listed_and_nothing_else() {
        let text = of(&[
            ("lib.rs", "mod a;\npub use a::{Deep, Named, ask};\npub const N: u8 = 1;\nfn own() {}"),
            (
                "a.rs",
                "//! A.\nmod deep;\npub use deep::Deep;\n/// Doc.\n#[derive(Debug)]\npub struct Named {\n\
                 /// Doc.\npub open: u8,\nclosed: u8 }\npub struct Hidden;\n\
                 pub fn ask(of: &Named) -> u8 { of.closed }\n\
                 impl Named { pub fn new() -> Self { todo() } fn own(&self) {} }\n\
                 impl Clone for Named { fn clone(&self) -> Self { todo() } }\n\
                 #[cfg(test)]\nmod tests { pub struct Named; }",
            ),
            ("a/deep.rs", "pub enum Deep { One(u8) }"),
        ])
        .unwrap();
        let expected = "pub enum Deep {\n    One(u8),\n}\npub const N: u8 = 1;\n#[derive(Debug)]\n\
                        pub struct Named {\n    pub open: u8,\n}\nimpl Clone for Named {}\n\
                        impl Named {\n    pub fn new() -> Self {}\n}\n\
                        pub fn ask(of: &Named) -> u8 {}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_cannot_be_listed_is_an_error() {
        for (library, expected) in [
            ("mod a;\npub use a::Gone;", "nothing defines a::Gone"),
            ("pub mod a;", "export names, not modules"),
            ("mod a;\npub use a::*;", "nothing defines a::*"),
            ("mod b;", "b.rs"),
            ("mod a;", "exports nothing"),
        ] {
            let error = of(&[("lib.rs", library), ("a.rs", "pub struct A;")]).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{library}: {error:#}");
        }
    }
}
