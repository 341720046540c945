"use strict";
(() => {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const stage = document.getElementById("stage"), canvas = document.getElementById("canvas");
  const gl = canvas.getContext("webgl", { antialias: true });
  if (!gl) { document.getElementById("sorry").hidden = false; canvas.hidden = true; return; }

  const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const sub = (a, b) => a.map((value, axis) => value - b[axis]);
  const dot = (a, b) => a.reduce((sum, value, axis) => sum + value * b[axis], 0);
  const program = gl.createProgram();
  const sources = [[gl.VERTEX_SHADER, `
    attribute vec3 place, normal, colour;
    uniform mat3 turn; uniform vec2 scale; uniform float distance, size;
    varying vec3 shade;
    void main() {
      vec3 p = turn * (place / 32000.0), n = turn * normal;
      float depth = distance - p.z;
      float facing = dot(normalize(n), normalize(vec3(-p.xy, depth)));
      gl_Position = vec4(p.xy * scale, (depth - distance) * 0.3 * depth, depth);
      gl_PointSize = size / depth;
      if (facing < -0.15) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
      float light = 0.62 + 0.38 * max(dot(normalize(n), normalize(vec3(0.25, 0.55, 0.8))), 0.0);
      shade = colour * light;
    }`], [gl.FRAGMENT_SHADER, `
    precision mediump float;
    varying vec3 shade;
    void main() {
      vec2 off = gl_PointCoord - 0.5;
      if (dot(off, off) > 0.25) discard;
      gl_FragColor = vec4(shade, 1.0);
    }`]];
  for (const [kind, source] of sources) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  const attribute = (name, data, type, normalised) => {
    const buffer = gl.createBuffer(), place = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, type, normalised, 0, 0);
    return buffer;
  };
  attribute("place", new Int16Array(bytes(scene.points).buffer), gl.SHORT, false);
  attribute("normal", new Int8Array(bytes(scene.normals).buffer), gl.BYTE, true);
  const colours = Object.fromEntries(Object.entries(scene.colours).map(([mode, text]) => [mode, bytes(text)]));
  const colourBuffer = attribute("colour", colours.defects, gl.UNSIGNED_BYTE, true);
  const uniform = Object.fromEntries(["turn", "scale", "distance", "size"].map(name => [name, gl.getUniformLocation(program, name)]));
  gl.enable(gl.DEPTH_TEST);

  // The eye is at yaw and pitch around the middle; z is up.
  let yaw = 0.6, pitch = 0.35, zoom = 1, mode = "defects";
  const axes = () => {
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    return { right: [-sy, cy, 0], up: [-sp * cy, -sp * sy, cp], back: [cp * cy, cp * sy, sp] };
  };
  const lookFrom = point => {
    const away = sub(point, scene.middle), flat = Math.hypot(away[0], away[1]);
    yaw = Math.atan2(away[1], away[0]);
    pitch = Math.max(-1.4, Math.min(1.4, Math.atan2(away[2], flat)));
    draw();
  };

  const labels = document.getElementById("labels");
  const marks = [];
  const label = (text, style, place, extent) => {
    const element = document.createElement("i");
    element.className = style;
    element.textContent = text;
    labels.append(element);
    marks.push({ element, place, extent });
  };
  const beyond = camera => {  // cameras are drawn nearer than they are, just outside the object
    const away = sub(camera, scene.middle), length = Math.hypot(...away);
    return scene.middle.map((value, axis) => value + away[axis] / length * 1.18 * scene.radius);
  };
  scene.cameras.forEach((camera, index) => label(scene.numbers[index], "eye", beyond(camera)));
  if (scene.next) label("next", "eye next", beyond(scene.next));
  scene.defects.forEach((defect, index) => {
    label("", "ring", defect.centre, defect.extent);
    label(index + 1, "mark", defect.centre);
  });

  function draw() {
    const width = stage.clientWidth, height = stage.clientHeight, dense = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dense); canvas.height = Math.round(height * dense);
    const { right, up, back } = axes(), distance = 3.4 / zoom;
    const side = Math.min(width, height), focal = 2.7, scale = [focal * side / width, focal * side / height];
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniformMatrix3fv(uniform.turn, false, [0, 1, 2].flatMap(axis => [right[axis], up[axis], back[axis]]));
    gl.uniform2fv(uniform.scale, scale);
    gl.uniform1f(uniform.distance, distance);
    gl.uniform1f(uniform.size, 1.9 * scene.spacing / scene.radius * focal * side / 2 * dense);
    gl.drawArrays(gl.POINTS, 0, scene.count);
    for (const { element, place, extent } of marks) {
      const away = sub(place, scene.middle).map(value => value / scene.radius);
      const depth = distance - dot(away, back);
      const x = (0.5 + 0.5 * scale[0] * dot(away, right) / depth) * width;
      const y = (0.5 - 0.5 * scale[1] * dot(away, up) / depth) * height;
      const reach = extent === undefined ? 0 : 0.5 * extent / scene.radius * focal * side / 2 / depth + 8;
      const aside = element.className.startsWith("mark") ? 14 : 0, within = (at, size) => reach ? at : Math.max(14, Math.min(size - 14, at));
      element.style.left = `${within(x + aside, width)}px`;
      element.style.top = `${within(y - aside, height)}px`;
      if (reach) element.style.width = element.style.height = `${2 * reach}px`;
      element.classList.toggle("behind", dot(away, back) < -0.05);
      element.hidden = depth < 0.2 || (mode === "object" && !element.className.startsWith("eye"));
    }
  }

  let held = null;
  canvas.addEventListener("pointerdown", event => { held = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointermove", event => {
    if (!held) return;
    yaw -= (event.clientX - held[0]) * 0.008;
    pitch = Math.max(-1.5, Math.min(1.5, pitch + (event.clientY - held[1]) * 0.008));
    held = [event.clientX, event.clientY];
    draw();
  });
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    zoom = Math.max(0.5, Math.min(2.6, zoom * Math.exp(-event.deltaY * 0.001)));
    draw();
  }, { passive: false });
  canvas.addEventListener("keydown", event => {
    const step = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (!step) return;
    event.preventDefault();
    yaw += step[0];
    pitch = Math.max(-1.5, Math.min(1.5, pitch + step[1]));
    draw();
  });
  for (const button of document.querySelectorAll("[data-mode]")) {
    button.addEventListener("click", () => {
      mode = button.dataset.mode;
      for (const other of document.querySelectorAll("[data-mode]")) other.setAttribute("aria-pressed", other === button);
      for (const key of document.querySelectorAll("[data-for]")) key.hidden = key.dataset.for !== mode;
      gl.bindBuffer(gl.ARRAY_BUFFER, colourBuffer);
      gl.bufferData(gl.ARRAY_BUFFER, colours[mode], gl.STATIC_DRAW);
      draw();
    });
  }
  for (const button of document.querySelectorAll("[data-defect]")) {
    button.addEventListener("click", () => lookFrom(scene.defects[button.dataset.defect].view));
  }
  window.addEventListener("resize", draw);
  if (scene.defects.length) lookFrom(scene.defects[0].view); else draw();
})();
