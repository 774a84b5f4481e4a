"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const canvas = document.getElementById("map"), pen = canvas.getContext("2d");
  const tip = document.getElementById("tip"), said = document.getElementById("said");
  const find = document.getElementById("find"), count = data.x.length;
  const colour = c => c < 0 ? "#c3c8cd" : `hsl(${(c * 137.508) % 360} ${62 - 14 * (c % 3)}% ${38 + 9 * (c % 4)}%)`;
  document.querySelectorAll("[data-dot]").forEach(dot => { dot.style.background = colour(+dot.dataset.dot); });
  let chosen = -1, wanted = "", scale = 1, left = 0, top = 0, width = 0, height = 0;

  function fit() {
    let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
    for (let i = 0; i < count; i++) {
      x0 = Math.min(x0, data.x[i]); x1 = Math.max(x1, data.x[i]);
      y0 = Math.min(y0, data.y[i]); y1 = Math.max(y1, data.y[i]);
    }
    scale = 0.9 * Math.min(width / (x1 - x0 || 1), height / (y1 - y0 || 1));
    left = width / 2 - scale * (x0 + x1) / 2; top = height / 2 + scale * (y0 + y1) / 2;
  }
  const at = i => [left + scale * data.x[i], top - scale * data.y[i]];
  const lit = i => (chosen < 0 || data.c[i] === chosen) && (!wanted || data.n[i].toLowerCase().includes(wanted));

  function draw() {
    const dense = window.devicePixelRatio || 1, radius = count > 5000 ? 2 : 3.5;
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    for (const bright of [false, true]) {
      for (let i = 0; i < count; i++) {
        if (lit(i) !== bright) continue;
        const [x, y] = at(i);
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        pen.globalAlpha = bright ? 0.85 : 0.12;
        pen.fillStyle = colour(data.c[i]);
        pen.beginPath(); pen.arc(x, y, bright && (wanted || chosen >= 0) ? radius + 1 : radius, 0, 7); pen.fill();
        if (data.m[i] && bright) { pen.lineWidth = 1.5; pen.strokeStyle = "#1a1d21"; pen.beginPath(); pen.arc(x, y, radius + 3, 0, 7); pen.stroke(); }
      }
    }
    pen.globalAlpha = 1;
  }
  function resize() {
    const dense = window.devicePixelRatio || 1;
    width = canvas.clientWidth; height = canvas.clientHeight;
    canvas.width = Math.round(width * dense); canvas.height = Math.round(height * dense);
    fit(); draw();
  }
  function nearest(x, y) {
    let best = -1, near = 144;
    for (let i = 0; i < count; i++) {
      const [px, py] = at(i), far = (px - x) ** 2 + (py - y) ** 2;
      if (far < near && lit(i)) { near = far; best = i; }
    }
    return best;
  }
  function zoom(x, y, by) { left = x - (x - left) * by; top = y - (y - top) * by; scale *= by; draw(); }
  function show(i) {
    tip.style.display = i < 0 ? "none" : "block";
    if (i < 0) return;
    const [x, y] = at(i), group = data.c[i];
    tip.textContent = `${data.n[i]} – ${group < 0 ? "in no cluster" : `cluster ${group}: ${data.names[group]}`}`;
    tip.style.left = `${Math.max(0, Math.min(x + 10, width - tip.offsetWidth - 2))}px`;
    tip.style.top = `${Math.max(0, Math.min(y + 10, height - tip.offsetHeight - 2))}px`;
  }
  function choose(group) {
    chosen = chosen === group ? -1 : group;
    said.textContent = chosen < 0 ? "All clusters are shown." : `Shown: cluster ${chosen}, ${data.names[chosen]}.`;
    draw();
  }

  const fingers = new Map();
  let moved = false;
  canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, event); moved = false; });
  canvas.addEventListener("pointermove", event => {
    const before = fingers.get(event.pointerId);
    if (!before) { show(nearest(event.offsetX, event.offsetY)); return; }
    const others = [...fingers.values()].filter(each => each.pointerId !== event.pointerId);
    if (others.length) {
      const [other] = others;
      const apart = each => Math.hypot(each.offsetX - other.offsetX, each.offsetY - other.offsetY);
      zoom((event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2, apart(event) / (apart(before) || 1));
    } else {
      left += event.offsetX - before.offsetX; top += event.offsetY - before.offsetY;
      draw();
    }
    moved = moved || Math.hypot(event.offsetX - before.offsetX, event.offsetY - before.offsetY) > 2;
    fingers.set(event.pointerId, event);
    show(-1);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, event => {
    fingers.delete(event.pointerId);
    if (end === "pointerup" && !moved) show(nearest(event.offsetX, event.offsetY));
  });
  canvas.addEventListener("pointerleave", () => show(-1));
  canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(event.offsetX, event.offsetY, Math.exp(-event.deltaY / 400)); }, { passive: false });
  find.addEventListener("input", () => {
    wanted = find.value.trim().toLowerCase();
    const hits = data.n.filter((_, i) => lit(i)).length;
    said.textContent = wanted ? `${hits} of ${count} names contain “${find.value.trim()}”.` : "All names are shown.";
    draw();
  });
  document.getElementById("all").addEventListener("click", () => { chosen = -1; wanted = find.value = ""; said.textContent = "Everything is shown."; fit(); draw(); });
  document.querySelectorAll("details[data-cluster]").forEach(each => each.addEventListener("toggle", () => {
    const group = +each.dataset.cluster;
    if (each.open !== (chosen === group)) choose(group);
  }));
  window.addEventListener("resize", resize);
  resize();
})();
