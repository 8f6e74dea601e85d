"""A blueprint of several entities that act together, for the levels that run: joints, creations, sends, references,
inverse sets, `whenever`, timers. It has no fault: no run may show one.
"""

EXCHANGE = """
blueprint exchange

role clerk, auditor

entity Account
  states Open, Frozen, Shut
  final Shut
  paid_in: int 0..20
  balance: int 0..60
  holds: every Hold.account max 50

  action Make(paid_in) by clerk from new to Open
    set paid_in
    set balance = paid_in

  action Withdraw(amount: int 1..3) by system from Open
    when amount <= balance else "not enough money"
    set balance -= amount

  action Deposit(amount: int 1..3) by system from Open
    when balance + amount <= 60 else "the account is full"
    set balance += amount

  action Freeze by auditor from Open to Frozen
  action Thaw by auditor from Frozen to Open
  action Shut by clerk from Open to Shut
    when balance == 0 and size(holds) == 0 else "not while something is in it"

  in Frozen
    after 1d do Thawed
  action Thawed by system from Frozen to Open

entity Hold
  states On, Off
  final Off
  account: Account
  least: int 0..20

  action Place(account, least) by clerk from new to On
    when account.state is Open else "the account is not open"
    set account, least

  in On
    whenever account.balance >= least and account.state is Open do Release

  action Release by system, clerk from On to Off

entity Teller
  states Here
  moved: int 0..60 = 0
  slips: int 0..20 = 0

  action Come by clerk from new to Here

  action Move(giver: Account, taker: Account, amount: int 1..3) by clerk from Here
    when giver.state is Open and giver != taker else "the giver is not open"
    when moved + amount <= 60 else "enough for today"
    with giver.Withdraw(amount)
    with taker.Deposit(amount)
    set moved += amount

  action Write(giver: Account) by clerk from Here
    when slips < 20 else "no paper left"
    with giver.Withdraw(1)
    create Slip.Print(giver)
    set slips += 1

entity Slip
  states Printed, Cashed, Void
  final Cashed, Void
  drawn_on: Account

  action Print(drawn_on) by system from new to Printed
    set drawn_on

  action Cash(taker: Account) by clerk from Printed to Cashed
    with taker.Deposit(1)

  in Printed
    after 30d do Lapse
  action Lapse by system from Printed to Void

always "money is neither made nor lost": sum(a in Account: a.balance)
  + count(s in Slip: s.state is Printed) + count(s in Slip: s.state is Void)
  == sum(a in Account: a.paid_in)
"""
