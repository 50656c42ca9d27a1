"""Documents of a made-up DAO, and questions about them, in Ukrainian and English; the same in every run."""

_TOPICS = (
    ("насіннєва бібліотека", "seed library"),
    ("спільна кухня", "shared kitchen"),
    ("ринок коротких шляхів", "market of short ways"),
    ("міська теплиця", "city greenhouse"),
    ("пасіка на даху", "apiary on the roof"),
    ("майстерня ремонту", "repair workshop"),
    ("школа садівництва", "gardening school"),
    ("доставка велосипедами", "delivery by bicycle"),
    ("компостний двір", "compost yard"),
    ("сонячна станція", "solar station"),
)
_PLACES = (
    ("на Подолі", "in Podil"),
    ("в Обухові", "in Obukhiv"),
    ("на Оболоні", "in Obolon"),
    ("у Фастові", "in Fastiv"),
    ("в Ірпені", "in Irpin"),
    ("у Вишгороді", "in Vyshhorod"),
    ("на Теремках", "in Teremky"),
)
_PEOPLE = (
    ("Марія Шевчук", "Mariia Shevchuk"),
    ("Андрій Гончар", "Andrii Honchar"),
    ("Олена Бойко", "Olena Boiko"),
    ("Тарас Мельник", "Taras Melnyk"),
    ("Дарина Коваль", "Daryna Koval"),
    ("Максим Лисенко", "Maksym Lysenko"),
    ("Ірина Савчук", "Iryna Savchuk"),
    ("Петро Кравець", "Petro Kravets"),
    ("Юлія Ткаченко", "Yuliia Tkachenko"),
    ("Богдан Руденко", "Bohdan Rudenko"),
    ("Софія Павленко", "Sofiia Pavlenko"),
)
_SECTIONS = 10


def documents(count: int) -> dict[str, str]:
    """Documents that together hold so many facts, half of them Ukrainian; `count` is a multiple of ten."""
    numbers = range(count // _SECTIONS)
    return {f"notes-{number}.md": "\n\n".join(_fact(number, section) for section in range(_SECTIONS)) for number in numbers}


def _fact(number: int, section: int) -> str:
    language = number % 2
    index = number * _SECTIONS + section
    topic, place, person = (part[index % len(part)][language] for part in (_TOPICS, _PLACES, _PEOPLE))
    day, money, members = 1 + index % 28, 1000 + index * 37 % 9000, 3 + index % 40
    if language == 0:
        return (
            f"## Група {index}: {topic}\n\nГрупа {index} веде справу «{topic}» {place}. Її координує {person}. Збори відбуваються "
            f"{day} числа кожного місяця о 19:00, і до групи входять {members} учасників. Скарбниця виділила на неї {money} гривень на "
            f"квартал; звіт про витрати бачать усі учасники. Щоб долучитися, напишіть координаторові або прийдіть на збори."
        )
    return (
        f"## Group {index}: {topic}\n\nGroup {index} runs the {topic} {place}. It is coordinated by {person}. It meets on day {day} "
        f"of every month at 19:00 and has {members} members. The treasury granted it {money} hryvnias a quarter; every member can "
        f"read the account of what was spent. To join, write to the coordinator or come to a meeting."
    )


def questions(count: int) -> list[str]:
    """Questions no two of which are the same, half of them Ukrainian."""
    return [_question(number) for number in range(count)]


def _question(number: int) -> str:
    language = number % 2
    topic, place, person = (part[number // 2 % len(part)][language] for part in (_TOPICS, _PLACES, _PEOPLE))
    if language == 0:
        return (
            f"Хто координує {topic} {place} у групі {number}?",
            f"Скільки грошей виділено на {topic}, якою опікується {person}, група {number}?",
            f"Коли збирається група {number} {place}?",
        )[number // 2 % 3]
    return (
        f"Who coordinates the {topic} {place} in group {number}?",
        f"How much money was granted to the {topic} of {person}, group {number}?",
        f"When does group {number} meet {place}?",
    )[number // 2 % 3]
