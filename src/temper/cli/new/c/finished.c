// Answers whether the text it is given is finished: whether "OPEN" stands nowhere in it.
//
//   pip install ziglang
//   python -m ziglang cc -target wasm32-freestanding -O2 -nostdlib -Wl,--no-entry -o finished.wasm finished.c
//
// Any clang with wasm-ld does as well. There is no C library here, and none is needed.

#define EXPORT(name) __attribute__((export_name(name)))
typedef unsigned int u32;
typedef unsigned long long u64;

static const u64 PAGE = 65536;
extern unsigned char __heap_base;

static u64 place(const char *at, u32 length) { return (u64)(u32)at << 32 | length; }

// The number of the ABI that it speaks.
EXPORT("temper_abi") u32 abi(void) { return 1; }

// Room for the input, at the end of what the compiler uses. A call is an instance of its own: it is asked for once.
EXPORT("temper_alloc") u32 alloc(u32 length) {
  u64 end = (u64)(u32)&__heap_base + length, has = __builtin_wasm_memory_size(0) * PAGE;
  if (end > has) __builtin_wasm_memory_grow(0, (end - has + PAGE - 1) / PAGE);
  return (u32)&__heap_base;
}

// Takes {"args":{"text":"..."},"order":"...","attempt":1}; all of it but the arguments is in lower case.
EXPORT("temper_run") u64 run(const char *at, u32 length) {
  static const char finished[] = "{\"ok\":{\"finished\":true}}", unfinished[] = "{\"ok\":{\"finished\":false}}";
  for (u32 i = 0; i + 4 <= length; i++)
    if (at[i] == 'O' && at[i + 1] == 'P' && at[i + 2] == 'E' && at[i + 3] == 'N')
      return place(unfinished, sizeof unfinished - 1);
  return place(finished, sizeof finished - 1);
}
