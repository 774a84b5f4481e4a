(function () {
  "use strict";
  // Printed pages have no use for what is folded away.
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (each) { each.open = true; });
  });
  // The search needs a script, so it is only shown where scripts run; the tables are complete without it.
  var box = document.getElementById("search"), source = document.getElementById("every-disease");
  if (!box || !source) { return; }
  var data = JSON.parse(source.textContent), MOST = 12;
  var words = document.getElementById("words"), shown = document.getElementById("shown");
  var hits = document.getElementById("hits"), found = document.getElementById("found");
  var texts = data.diseases.map(function (each) { return (each[0] + " " + each[1]).toLowerCase(); });
  box.hidden = false;

  function make(tag, text, className) {
    var element = document.createElement(tag);
    if (text !== undefined) { element.textContent = text; }
    if (className) { element.className = className; }
    return element;
  }
  function head(text, className) {
    var cell = make("th", text, className);
    cell.scope = "col";
    return cell;
  }
  function show(disease) {
    found.textContent = "";
    var title = make("h4", disease[0] + " ");
    title.appendChild(make("small", disease[1], "id"));
    found.appendChild(title);
    var scroll = make("div", undefined, "scroll"), table = make("table", undefined, "wide");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "New drugs for " + disease[0]);
    table.appendChild(make("caption", disease[2] + (disease[2] === 1 ? " recorded treatment" : " recorded treatments") +
      ", left out here. Research leads, not medical advice."));
    var top = make("tr"), body = make("tbody"), thead = make("thead");
    top.appendChild(head("Drug"));
    ["Probability", "Percentile among drugs", "Percentile among diseases"].forEach(function (name) {
      top.appendChild(head(name, "number"));
    });
    thead.appendChild(top);
    table.appendChild(thead);
    for (var i = 0; i < disease[3].length; i += 4) {
      var row = make("tr"), drug = data.drugs[disease[3][i]], name = make("th", drug[0] + " ");
      name.scope = "row";
      name.appendChild(make("small", drug[1], "id"));
      row.appendChild(name);
      row.appendChild(make("td", (disease[3][i + 1] / 1000).toFixed(3), "number"));
      row.appendChild(make("td", (disease[3][i + 2] / 10).toFixed(1), "number"));
      row.appendChild(make("td", (disease[3][i + 3] / 10).toFixed(1), "number"));
      body.appendChild(row);
    }
    table.appendChild(body);
    scroll.appendChild(table);
    found.appendChild(scroll);
  }
  function search() {
    var wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean), matches = [];
    hits.textContent = "";
    found.textContent = "";
    if (!wanted.length) { shown.textContent = ""; return; }
    texts.forEach(function (text, i) {
      if (wanted.every(function (word) { return text.indexOf(word) >= 0; })) { matches.push(i); }
    });
    matches.slice(0, MOST).forEach(function (i) {
      var item = make("li"), button = make("button", data.diseases[i][0]);
      button.type = "button";
      button.addEventListener("click", function () { show(data.diseases[i]); });
      item.appendChild(button);
      hits.appendChild(item);
    });
    shown.textContent = matches.length + (matches.length === 1 ? " disease" : " diseases") +
      (matches.length > MOST ? ", the first " + MOST + " shown" : "");
    if (matches.length === 1) { show(data.diseases[matches[0]]); }
  }
  words.addEventListener("input", search);
  words.addEventListener("keydown", function (event) {
    if (event.key === "Enter" && hits.firstChild) { hits.firstChild.firstChild.click(); }
  });
})();
