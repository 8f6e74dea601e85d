// Answers whether the text it is given is finished: whether "OPEN" stands nowhere in it.
//
//   npm install && npm run build
//
// The functions that Temper calls stand below; what a tool does is in `answer`.

/** Takes {"args":{"text":"..."},"order":"...","attempt":1}; all of it but the arguments is in lower case. */
function answer(input: string): string {
  return input.includes("OPEN") ? '{"ok":{"finished":false}}' : '{"ok":{"finished":true}}';
}

/** The number of the ABI that it speaks. */
export function temper_abi(): i32 {
  return 1;
}

/** Room for the input. Nothing is freed: a call is an instance of its own. */
export function temper_alloc(length: i32): usize {
  return heap.alloc(length);
}

/** Takes the input that lies there, and returns where the answer lies. */
export function temper_run(at: usize, length: i32): u64 {
  const said = String.UTF8.encode(answer(String.UTF8.decodeUnsafe(at, length)));
  return ((<u64>changetype<usize>(said)) << 32) | <u64>said.byteLength;
}
