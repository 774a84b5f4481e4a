(function () {
  "use strict";
  // The filter needs a script, so it is only shown where scripts run; the table is complete without it.
  var box = document.getElementById("filter");
  if (box) {
    var groups = Array.prototype.map.call(document.querySelectorAll("#leads tbody"), function (group) {
      var rows = Array.prototype.slice.call(group.rows, 1), heading = group.rows[0].textContent;
      return { group: group, rows: rows, texts: rows.map(function (row) {
        return (heading + " " + row.textContent).toLowerCase();
      }) };
    });
    var words = document.getElementById("words"), shown = document.getElementById("shown");
    box.hidden = false;
    words.addEventListener("input", function () {
      var wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean), count = 0;
      groups.forEach(function (each) {
        var hits = 0;
        each.rows.forEach(function (row, i) {
          row.hidden = !wanted.every(function (word) { return each.texts[i].indexOf(word) >= 0; });
          hits += !row.hidden;
        });
        each.group.hidden = !hits;
        count += hits;
      });
      shown.textContent = wanted.length ? count + (count === 1 ? " prediction" : " predictions") : "";
    });
  }
})();
