// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), decoded four bits at a time. The code is canonical: it
// is fully determined by the lengths of the symbols' codes.

/** Code lengths of the 256 octets and of EOS, in bits. */
const CODE_BITS: readonly number[] = [
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30,
];
const EOS = 256;
const MAX_CODE_BITS = 30;

/** The code of each symbol, right-aligned. Shorter codes come first; codes of the same length are in the order of symbols. */
function assignCodes(): number[] {
  const codes: number[] = CODE_BITS.map(() => 0);
  let code = 0;
  for (let bits = 1; bits <= MAX_CODE_BITS; bits++) {
    CODE_BITS.forEach((length, symbol) => {
      if (length === bits) codes[symbol] = code++;
    });
    code *= 2;
  }
  return codes;
}

/** A node of the code tree: has children by the next bit, or a symbol. */
interface Node {
  readonly children: [Node | undefined, Node | undefined];
  symbol: number;
  /** Number of the inner node. */
  state: number;
  /** Number of bits from the root, and whether all of them are ones: a string may end here then. */
  depth: number;
  padding: boolean;
}

// One number for each combination of a state and four bits: the next state, and the symbol that was completed. There is at
// most one, because no code is shorter than five bits.
const STATE_MASK = 0xff;
const HAS_SYMBOL = 0x100;
const SYMBOL_SHIFT = 16;
const INVALID = 0x200;
/** Maximum length of the padding, which is shorter than an octet and all ones (section 5.2). */
const MAX_PADDING_BITS = 7;

const { steps: STEPS, mayEnd: MAY_END } = buildSteps();

function buildSteps(): { steps: Int32Array; mayEnd: Uint8Array } {
  const create = (depth: number, padding: boolean): Node => ({
    children: [undefined, undefined],
    symbol: -1,
    state: -1,
    depth,
    padding,
  });
  const root = create(0, true);
  const codes = assignCodes();
  CODE_BITS.forEach((length, symbol) => {
    let node = root;
    for (let bit = length - 1; bit >= 0; bit--) {
      const side = ((codes[symbol] as number) >>> bit) & 1;
      node = node.children[side] ??= create(node.depth + 1, node.padding && side === 1);
    }
    node.symbol = symbol;
  });
  const inner: Node[] = [];
  const number = (node: Node): void => {
    if (node.symbol >= 0) return;
    node.state = inner.push(node) - 1;
    for (const child of node.children) if (child !== undefined) number(child);
  };
  number(root);
  const steps = new Int32Array(inner.length * 16);
  for (const from of inner) {
    for (let nibble = 0; nibble < 16; nibble++) steps[from.state * 16 + nibble] = step(root, from, nibble);
  }
  return {
    steps,
    mayEnd: Uint8Array.from(inner, ({ depth, padding }) => (padding && depth <= MAX_PADDING_BITS ? 1 : 0)),
  };
}

function step(root: Node, from: Node, nibble: number): number {
  let node = from;
  let result = 0;
  for (let bit = 3; bit >= 0; bit--) {
    node = node.children[((nibble >>> bit) & 1) as 0 | 1] as Node;
    if (node.symbol === EOS) return INVALID;
    if (node.symbol < 0) continue;
    result = HAS_SYMBOL | (node.symbol << SYMBOL_SHIFT);
    node = root;
  }
  return result | node.state;
}

/** Maximum number of octets that `count` encoded octets decode to. */
export function decodedCapacity(count: number): number {
  return Math.floor((count * 8) / 5);
}

/**
 * Decodes `buffer[start, end)` to `out[at]`, which must have room for {@link decodedCapacity}. Returns the offset after the
 * decoded string, or -1 if the input is invalid.
 */
export function decodeHuffman(
  buffer: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
): number {
  const steps = STEPS;
  let state = 0;
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    let next = steps[state * 16 + (byte >>> 4)] as number;
    if ((next & (HAS_SYMBOL | INVALID)) !== 0) {
      if ((next & INVALID) !== 0) return -1;
      out[at++] = next >>> SYMBOL_SHIFT;
    }
    next = steps[(next & STATE_MASK) * 16 + (byte & 15)] as number;
    if ((next & (HAS_SYMBOL | INVALID)) !== 0) {
      if ((next & INVALID) !== 0) return -1;
      out[at++] = next >>> SYMBOL_SHIFT;
    }
    state = next & STATE_MASK;
  }
  return MAY_END[state] === 1 ? at : -1;
}
