// What is wrong with the page, as texts: seen at the present width, colours and medium.
// Numbers are those of WCAG 2.2: contrast 1.4.3, size of targets 2.5.8, reflow 1.4.10.
(() => {
  const problems = [];
  const report = (rule, what) => problems.push(`${rule}: ${what}`);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const name = (element) => {
    const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 40);
    return `<${element.localName}> "${text}"`;
  };
  const isSeen = (element) => element.checkVisibility({ visibilityProperty: true });
  const isPrint = matchMedia("print").matches;

  // structure
  if (!document.documentElement.lang) report("language", "is not said");
  if (!document.title.trim()) report("title", "is empty");
  if (all("main").length !== 1) report("main", `there are ${all("main").length}`);
  const levels = all("h1, h2, h3, h4, h5, h6").map((heading) => Number(heading.localName[1]));
  if (levels.filter((level) => level === 1).length !== 1) report("headings", "need one h1");
  levels.forEach((level, i) => {
    if (level > (levels[i - 1] ?? 0) + 1) report("headings", `h${level} follows ${levels[i - 1]}`);
  });
  const ids = all("[id]").map((element) => element.id);
  for (const id of new Set(ids)) {
    if (ids.filter((other) => other === id).length > 1) report("ids", `${id} is not unique`);
  }
  for (const link of all("a[href^='#']")) {
    if (!ids.includes(link.getAttribute("href").slice(1))) report("links", `${link} leads nowhere`);
  }

  // names of what is no text, heads of tables, labels of fields
  for (const image of all("img")) {
    const box = image.getBoundingClientRect();
    if (!image.alt.trim()) report("alt", "a picture is not described");
    if (!image.naturalWidth || box.width < 20 || box.height < 20) report("picture", image.alt);
    const shown = box.width / Number(image.getAttribute("width") || box.width);
    if (!isPrint && shown < 0.6) report("small", `${image.alt} is shown at ${shown.toFixed(2)}`);
  }
  for (const svg of all("svg")) {
    if (!svg.ariaLabel && !svg.querySelector("title")) report("alt", "a drawing is not described");
  }
  for (const element of all("a, button, summary, [role=group], [role=region]")) {
    const label = element.ariaLabel || element.title || element.textContent.trim();
    if (!label) report("name", `<${element.localName}> has none`);
  }
  for (const table of all("table")) {
    if (!table.querySelector("thead th[scope=col]")) report("table", `no heads: ${name(table)}`);
    for (const row of table.tBodies[0].rows) {
      if (!row.querySelector("th[scope=row]")) report("table", `no head of ${name(row)}`);
    }
  }
  for (const field of all("input, select, textarea")) {
    if (!field.labels.length && !field.ariaLabel) report("label", `${field.name} has none`);
  }

  // sizes
  const inScroll = (element) => {
    for (let node = element.parentElement; node; node = node.parentElement) {
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(node).overflowX)) return true;
    }
    return false;
  };
  const width = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth > width) report("overflow", "the page scrolls sideways");
  for (const element of all("body *")) {
    const box = element.getBoundingClientRect();
    const sticksOut = box.right > width + 1 || box.left < -1;
    if (isSeen(element) && sticksOut && !inScroll(element)) report("overflow", name(element));
    const style = getComputedStyle(element);
    const scrolls = ["auto", "scroll"].includes(style.overflowX);
    if (scrolls && element.scrollWidth > element.clientWidth && element.tabIndex < 0) {
      report("keyboard", `${name(element)} scrolls, but not by keys`);
    }
    if (["hidden", "clip"].includes(style.overflowX) && element.scrollWidth > element.clientWidth) {
      report("cut", name(element));
    }
  }
  for (const element of all("a, button, summary").filter(isSeen)) {
    const box = element.getBoundingClientRect();
    const inText = element.parentElement.localName === "p"; // excepted
    if (!isPrint && !inText && box.height < 24) report("target", `${box.height} px: ${name(element)}`);
  }

  // colours
  const parse = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
    return { rgb: [red, green, blue], alpha };
  };
  const over = (top, below) => top.rgb.map((c, i) => top.alpha * c + (1 - top.alpha) * below[i]);
  const luminance = (rgb) => {
    const linear = rgb.map((c) => c / 255).map((c) => {
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const background = (element) => {
    if (!element || isPrint) return [255, 255, 255]; // browsers print no backgrounds
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.alpha === 1 ? own.rgb : over(own, background(element.parentElement));
  };
  const contrast = (a, b) => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !isSeen(element)) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const behind = background(element);
    const ratio = contrast(over(parse(style.color), behind), behind);
    const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) report("contrast", `${ratio.toFixed(2)} of ${name(element)}`);
    if (size < (isPrint ? 9 : 11)) report("small", `${size} px: ${name(element)}`);
  }
  if (isPrint) {
    for (const folded of all("details > :not(summary)")) {
      if (!isSeen(folded)) report("folded", name(folded));
    }
  }
  return [...new Set(problems)];
})();
