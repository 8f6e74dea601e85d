;; Answers whether the text it is given is finished: whether "OPEN" stands nowhere in it.
;;
;; It is read as it is: there is nothing to build.
(module
  (memory (export "memory") 2)
  (data (i32.const 0) "{\22ok\22:{\22finished\22:true}}")
  (data (i32.const 32) "{\22ok\22:{\22finished\22:false}}")

  ;; The number of the ABI that it speaks.
  (func (export "temper_abi") (result i32)
    (i32.const 1))

  ;; Room for the input: behind the answers, and as much memory as it takes.
  (func (export "temper_alloc") (param $length i32) (result i32)
    (drop (memory.grow (i32.div_u (local.get $length) (i32.const 65536))))
    (i32.const 1024))

  ;; The input is {"args":{"text":"..."},"order":"...","attempt":1}; all of it but the arguments is in lower case.
  (func (export "temper_run") (param $at i32) (param $length i32) (result i64)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (loop $on
      (if (i32.le_u (i32.add (local.get $at) (i32.const 4)) (local.get $end))
        (then
          (if (i32.eq (i32.load (local.get $at)) (i32.const 0x4e45504f))  ;; "OPEN", the last letter first
            (then (return (call $place (i32.const 32) (i32.const 25)))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $on))))
    (call $place (i32.const 0) (i32.const 24)))

  (func $place (param $at i32) (param $length i32) (result i64)
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
      (i64.extend_i32_u (local.get $length)))))
