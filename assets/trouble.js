// Errors of this page itself are shown to whoever uses it. No module, so that it is there when a module cannot be loaded.

{
  const show = (words) => {
    const box = document.getElementById("trouble");
    document.getElementById("trouble-words").textContent = words;
    if (!box.open) box.show();
  };
  addEventListener("unhandledrejection", (event) => show(event.reason?.message ?? String(event.reason)));
  // In the first phase, because a file that cannot be loaded is told to its element alone.
  addEventListener("error", (event) => show(event.message ?? `${event.target.src ?? event.target.href} cannot be loaded.`), true);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("trouble-close").addEventListener("click", () => document.getElementById("trouble").close());
  });
}
