// A box of text beside the pointer.

import { el, say } from "./dom.js";

export class Tip {
  constructor() {
    this.node = el("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    document.body.append(this.node);
  }

  show(x, y, text) {
    say(this.node, text);
    this.node.hidden = false;
    const { width, height } = this.node.getBoundingClientRect();
    const left = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
    const top = y + 14 + height > innerHeight ? y - 14 - height : y + 14;
    this.node.style.left = `${Math.max(4, left)}px`;
    this.node.style.top = `${Math.max(4, top)}px`;
  }

  hide() {
    this.node.hidden = true;
  }
}
