// Builds and updates elements. No HTML is ever parsed from text: what a camera, a site or a model is called cannot
// become markup.

export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value === "boolean") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, severity) {
  if (element.dataset.severity !== severity) element.dataset.severity = severity;
}

// Keeps one child of `parent` for each item, in their order. What has the keyboard's focus keeps it.
export class Keyed {
  constructor(parent, make) {
    this.parent = parent;
    this.make = make;
    this.kept = new Map();
  }

  update(items, keyOf) {
    const focused = document.activeElement;
    const wanted = new Map(items.map((item) => [keyOf(item), item]));
    for (const [key, row] of this.kept) {
      if (wanted.has(key)) continue;
      row.element.remove();
      row.gone?.();
      this.kept.delete(key);
    }
    let before = this.parent.firstElementChild;
    for (const [key, item] of wanted) {
      let row = this.kept.get(key);
      if (!row) this.kept.set(key, (row = this.make(item)));
      row.update(item);
      if (row.element === before) before = before.nextElementSibling;
      else this.parent.insertBefore(row.element, before);
    }
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
  }
}
