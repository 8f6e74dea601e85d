/* An order whose three counters go up to N while it is a draft, at the till, and sent in parts. */
byte status; /* 0 draft, 1 at the till, 2 paid, 3 done, 4 cancelled */
byte items, tries, parts;

active proctype Order() {
  do
  :: d_step { status == 0 && items < N -> items = items + 1 }
  :: d_step { status == 0 && items > 0 -> status = 1 }
  :: d_step { status == 1 && tries < N -> tries = tries + 1 }
  :: d_step { status == 1 -> status = 2 }
  :: d_step { status == 2 && parts < N -> parts = parts + 1 }
  :: d_step { status == 2 -> status = 3 }
  :: d_step { status == 0 || status == 1 -> status = 4 }
  od
}
