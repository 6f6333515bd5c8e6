// For readers without a mouse, and for paper.
"use strict";
(() => {
  // Code that is wider than its block can be scrolled by the keyboard, once it is in the focus.
  const focusable = () => {
    for (const code of document.querySelectorAll("main pre > code")) {
      if (code.scrollWidth > code.clientWidth && code.clientWidth > 0) code.tabIndex = 0;
    }
  };
  focusable();
  addEventListener("load", focusable);
  addEventListener("resize", focusable);
  document.addEventListener("toggle", focusable, true);

  // Folded answers would be missing on paper.
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("main details")) details.open = true;
  });
})();
