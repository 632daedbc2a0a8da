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
