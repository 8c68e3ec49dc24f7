// Suggests a name that the user may have meant instead of an unknown one.

/** ` (did you mean "x"?)` if the name of a key differs only slightly: in case, dashes, or up to two letters. */
export function suggestName(name: string, known: readonly string[]): string {
  const near = known
    .map((each) => ({ name: each, distance: editDistance(fold(name), fold(each)) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= 2 ? ` (did you mean ${JSON.stringify(near.name)}?)` : "";
}

function fold(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
