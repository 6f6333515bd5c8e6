#!/usr/bin/env bash
# Makes an EPUB of the book, for readers without a network: book/epub.sh [FILE], target/crucible.epub if none is given.
# Builds the book, takes the content of its print page, and hands it to pandoc. Figures become pictures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

file=${1:-target/crucible.epub}
command -v pandoc >/dev/null || {
  echo "error: pandoc is missing: apt-get install pandoc, or just setup --with-tests" >&2
  exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo run -q -p crucible-book -- --into "$work/book" build >&2
# An e-reader has neither the script of the quizzes nor a stage, and a folded answer may not open there.
python3 book/epub.py "$work/book/print.html" "$work/content.html"
mkdir -p "$(dirname "$file")"
pandoc --from html --to epub3 --toc --toc-depth 2 --epub-chapter-level 1 --css book/theme/epub.css \
  --metadata title=Crucible --metadata lang=en --metadata "author=The Crucible authors" \
  --resource-path "$work/book" --output "$file" "$work/content.html"
echo "built $file"
