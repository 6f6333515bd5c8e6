"use strict";
const slides = [...document.querySelectorAll(".slide")];
let place = 0;
let other = null; // the second window, or the one that has opened this one

/** Shows a slide. A message from the other window is not sent back. */
function go(wanted, tell = true) {
  slides[place].classList.remove("current");
  place = Math.max(0, Math.min(slides.length - 1, wanted));
  slides[place].classList.add("current");
  history.replaceState(null, "", `#${place + 1}`);
  if (tell && other && !other.closed) other.postMessage({ slide: place }, "*");
}

const keys = {
  ArrowRight: () => go(place + 1), ArrowDown: () => go(place + 1), PageDown: () => go(place + 1), " ": () => go(place + 1),
  ArrowLeft: () => go(place - 1), ArrowUp: () => go(place - 1), PageUp: () => go(place - 1),
  Home: () => go(0), End: () => go(slides.length - 1),
  n: () => document.body.classList.toggle("with-notes"),
  d: () => {
    const root = document.documentElement;
    const dark = getComputedStyle(root).colorScheme === "dark";
    root.classList.toggle("light", dark);
    root.classList.toggle("dark", !dark);
  },
  p: () => print(),
  s: () => { other = open(`${location.href.split("#")[0]}#${place + 1}`, "notes", "popup"); },
  "?": () => { const help = document.getElementById("help"); help.hidden = !help.hidden; },
};

addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
addEventListener("hashchange", () => go(Number(location.hash.slice(1)) - 1));
addEventListener("message", event => {
  if (event.source === other && Number.isInteger(event.data?.slide)) go(event.data.slide, false);
});
if (window.opener) {
  other = window.opener;
  document.body.classList.add("with-notes");
}
go((Number(location.hash.slice(1)) || 1) - 1);
