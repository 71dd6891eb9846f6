"""What tests of apply share: a dataset as CSV, and decisions about its rows."""

CSV = (
    "zip,text,label,when\n"
    '00123,"the team, ""quoted""\nnext",sports,2020-01-02\n'
    "0,bank shares,Business,\n"
    ",oil market,WORLD,1.50\n"
    "7,the striker scored,Business,x\n"
    "8,chip network,Sci/Tech,y\n"
)


DECISIONS = {
    1: ("relabel", "World"),
    2: ("keep", None),
    3: ("relabel", "Sports"),
    4: ("discard", None),
    0: ("unsure", None),
}
