(() => {
  // What makes a page hard to use without seeing it well: [what, which element]. None is right.
  const found = [];
  const complain = (what, node) => found.push([what, node.outerHTML.slice(0, 120)]);
  const seen = (node) => node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length > 0;
  const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);
  const textOf = (ids) => (ids ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("").trim();
  const nameOf = (node) => node.getAttribute("aria-label") || textOf(node.getAttribute("aria-labelledby")) ||
    [...(node.labels ?? [])].map((label) => label.textContent).join("").trim() || node.textContent.trim();

  if (document.documentElement.lang !== "en") complain("no language", document.documentElement);
  if (document.querySelectorAll("main").length !== 1) complain("not one main", document.body);
  if (document.querySelectorAll("h1").length !== 1) complain("not one h1", document.body);
  for (const node of all("button, a, input, select, textarea, summary, canvas, [role=img], nav, [role=group], [role=region]")) {
    if (!nameOf(node)) complain("no name", node);
  }
  const names = new Set();
  for (const node of all("nav")) {
    if (names.has(nameOf(node))) complain("two of this name", node);
    names.add(nameOf(node));
  }
  const ids = new Set();
  for (const node of document.querySelectorAll("[id]")) {
    if (ids.has(node.id)) complain("two of this id", node);
    ids.add(node.id);
  }
  for (const kind of ["aria-describedby", "aria-labelledby", "aria-controls", "for"]) {
    for (const node of document.querySelectorAll(`[${kind}]`)) {
      for (const id of node.getAttribute(kind).split(" ")) if (!ids.has(id)) complain(`${kind} of nothing`, node);
    }
  }
  let level = 0;
  for (const node of all("h1, h2, h3, h4, h5, h6")) {
    const own = Number(node.tagName[1]);
    if (own > level + 1) complain("a level of headings is left out", node);
    level = own;
  }
  for (const node of all("ul, ol")) {
    if ([...node.children].some((child) => child.tagName !== "LI")) complain("a list of other things", node);
  }
  for (const node of all("dl")) {
    if ([...node.children].some((child) => !["DT", "DD", "DIV"].includes(child.tagName))) complain("a list of other things", node);
  }
  for (const node of all("button, a, input, select, summary")) {
    if (node.tabIndex < 0 && !node.disabled) complain("not reached by the keyboard", node);
    const { width, height } = (node.closest("label") ?? node).getBoundingClientRect();
    const inText = node.tagName === "A" && node.parentElement.tagName === "P";
    if (!inText && Math.min(width, height) < 24) complain("too small to hit", node);
  }

  // Contrast, as the Web Content Accessibility Guidelines reckon it.
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const looked = new Set();
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.textContent.trim() || looked.has(node) || !seen(node) || node.closest("script, style, :disabled, .outdated, .unseen")) continue;
    looked.add(node);
    const style = getComputedStyle(node);
    const [ink, ground] = [light(channels(node instanceof SVGElement ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) complain(`contrast ${ratio.toFixed(2)}`, node);
  }
  return found;
})()
