"""What every widget shares in the browser: who gets which key, and the colours of the page around it."""

STYLE = """
.vla-widget {
  /* JupyterLab's own colours. Elsewhere the second value holds: light or dark, as the page or else the system says. */
  color-scheme: light dark;
  --paper: var(--jp-layout-color0, var(--vscode-editor-background, light-dark(#fff, #1e1e1e)));
  --ink: var(--jp-ui-font-color1, var(--vscode-editor-foreground, light-dark(#222, #e4e4e4)));
  --quiet: color-mix(in srgb, var(--ink) 72%, var(--paper));
  --mark: color-mix(in srgb, var(--ink) 48%, var(--paper));
  --line: color-mix(in srgb, var(--ink) 22%, var(--paper));
  --track: color-mix(in srgb, var(--ink) 13%, var(--paper));
  --panel: color-mix(in srgb, var(--ink) 5%, var(--paper));
  /* Okabe and Ito's colours, lighter where the paper is dark. */
  --blue: light-dark(#0072B2, #4DADE8);
  --orange: light-dark(#D55E00, #FF8F3F);
  --green: light-dark(#009E73, #2CC79B);
  --sky: light-dark(#56B4E9, #2C7DB0);
  /* On pictures, which have no theme. */
  --erased: #7f7f7f; --grid: #ffffff44;
  box-sizing: border-box; max-width: 860px; padding: 6px;
  background: var(--paper); color: var(--ink); font: 13px/1.4 system-ui, sans-serif;
}
[data-jp-theme-light="true"] .vla-widget, .vscode-light .vla-widget, [theme="light"] .vla-widget { color-scheme: light; }
[data-jp-theme-light="false"] .vla-widget, .vscode-dark .vla-widget, [theme="dark"] .vla-widget { color-scheme: dark; }
.vla-widget p { margin: 5px 0 0; }
.vla-widget small { color: var(--quiet); }
.vla-widget .row { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: center; }
.vla-widget svg { display: block; width: 100%; border-radius: 6px; background: var(--panel); fill: var(--ink); }
.vla-widget button, .vla-widget select, .vla-widget input[type=text] {
  font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--mark); border-radius: 4px; padding: 2px 8px;
}
.vla-widget button:hover { background: var(--track); }
.vla-widget :disabled { opacity: 0.5; }
.vla-widget input[type=range], .vla-widget input[type=checkbox] { accent-color: var(--blue); vertical-align: middle; margin: 0; }
.vla-widget :focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
.vla-widget svg :focus-visible { outline: none; stroke: var(--ink); stroke-width: 3px; vector-effect: non-scaling-stroke; }
"""

SCRIPT = """
// The keys typed in a widget are the widget's: as commands of JupyterLab, x would cut the cell. Keys with Ctrl, Meta or Alt keep
// their meaning (Ctrl+S saves), and Escape gives the keys back to the cell.
function framed(render) {
  return (context) => {
    const { el } = context;
    el.classList.add("vla-widget");
    el.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      event.stopPropagation();
      if (event.key === "Escape") { document.activeElement.blur(); el.closest(".jp-Cell")?.focus(); }
    });
    return render(context);
  };
}

// What is dragged in a drawing moves by the arrow keys too: `move(right, up)` is told how many steps, ten at once with Shift.
function movedByArrows(handle, move) {
  const ways = { ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowLeft: [-1, 0], ArrowDown: [0, -1] };
  handle.addEventListener("keydown", (event) => {
    if (!ways[event.key]) return;
    event.preventDefault();
    move(...ways[event.key].map((steps) => steps * (event.shiftKey ? 10 : 1)));
  });
}
"""
