// Makes a form of each quiz. Without this script the question, the choices and the folded answer are shown.
// Nothing is stored, and nothing is sent.
"use strict";
(() => {
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const normal = (text) => text.trim().toLowerCase().split(/\s+/).join(" ");

  for (const quiz of document.querySelectorAll(".quiz")) {
    const reasons = [...quiz.querySelector(".quiz-answer > ol").children];
    const right = Number(quiz.dataset.right);
    const verdict = element("div", { className: "verdict" });
    verdict.setAttribute("role", "status");
    const question = quiz.querySelector(":scope > p").textContent;
    const fieldset = element("fieldset", {}, element("legend", { textContent: "Your answer" }));
    const form = element("form", { className: "answer" }, fieldset, element("button", { textContent: "Check" }), verdict);
    form.setAttribute("aria-label", question);
    // Which of the reasons belongs to the answer; 0 without one.
    let chosen;

    if (quiz.dataset.accept) {
      const accept = quiz.dataset.accept.split("|");
      const field = element("input", { type: "text", autocomplete: "off", spellcheck: false });
      field.setAttribute("aria-label", "Your answer");
      fieldset.append(field);
      chosen = () => {
        const typed = normal(field.value);
        if (!typed) return 0;
        return accept.includes(typed) ? right : 3 - right;
      };
    } else {
      const list = quiz.querySelector(":scope > ol");
      const radios = [...list.children].map((item) => {
        const radio = element("input", { type: "radio", name: quiz.id });
        fieldset.append(element("label", {}, radio, element("span", {}, ...item.childNodes)));
        return radio;
      });
      list.remove();
      chosen = () => radios.findIndex((radio) => radio.checked) + 1;
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const place = chosen();
      verdict.className = place === 0 ? "verdict" : `verdict ${place === right ? "right" : "wrong"}`;
      const reason = place === 0 ? ["Answer first: that is the point."] : reasons[place - 1].cloneNode(true).childNodes;
      verdict.replaceChildren(element("p", {}, ...reason));
    });
    // mdBook turns the page at an arrow key, and opens its search at some letters.
    form.addEventListener("keydown", (event) => event.stopPropagation());
    quiz.querySelector(".quiz-answer").before(form);
  }
})();
