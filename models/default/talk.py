"""What the default model says when it is not asked a question that it can answer."""

import random

HELLO = "Hello! I am a small model that does sums, compares and sorts numbers, counts letters and solves short word problems. What can I work out for you?"
ABLE = "I do sums with +, - and ×, compare and sort numbers, count letters in a word, put people in order and solve short word problems."
UNABLE = "I do not know that. I am a very small model: I do sums, compare and sort numbers, count letters and solve short word problems."
TOO_LARGE = "That is too hard for me: my numbers end at about two hundred, and I can add, subtract and multiply, but not divide."
THANKS = "You are welcome."
BYE = "Goodbye!"
WELL = "I am well, thank you. Ask me for a sum."
NAME = "I am the default model of ponder, a very small model that runs on your machine."

FIXED = {
    HELLO: ["Hello", "Hello!", "Hi", "Hi!", "Hi there", "Hey", "Good morning", "Good evening", "Hello there!", "Greetings", "hello", "hi", "Hello, who are you?", "Say hello", "Say hello.", "Good day", "Howdy"],
    ABLE: ["What can you do?", "Help", "help", "How can you help me?", "What are you able to do?", "What do you know?", "What should I ask you?", "Can you help me?", "What are you good at?"],
    THANKS: ["Thanks", "Thank you", "Thank you!", "thanks a lot", "Great, thanks", "Thanks!"],
    BYE: ["Bye", "Goodbye", "See you", "bye", "Good night"],
    WELL: ["How are you?", "How are you today?", "how are you", "How do you do?"],
    NAME: ["Who are you?", "What are you?", "What is your name?", "Which model are you?", "Are you a human?", "Are you ChatGPT?", "who are you"],
}

PLACES = "France Germany Italy Spain Japan China India Brazil Canada Mexico Egypt Kenya Norway Sweden Poland Greece Turkey Austria Portugal Peru Chile Australia Russia England Ireland Scotland Cuba Iran Iraq Nepal".split()
PEOPLE = ["Einstein", "Newton", "Mozart", "Shakespeare", "Napoleon", "Cleopatra", "Darwin", "Marie Curie", "Gandhi", "Picasso", "Plato", "Alan Turing", "the president", "the king of Spain", "Batman"]
TOPICS = ["love", "the sea", "autumn", "cats", "dogs", "the moon", "war", "peace", "music", "rain", "a lonely robot", "my mother", "the city", "winter", "friendship"]
THINGS = ["the sky", "grass", "the sea", "blood", "snow", "the sun", "gold", "a rainbow", "the moon", "fire", "water", "a star", "ice", "glass", "light", "gravity", "democracy", "a black hole", "an atom", "inflation", "photosynthesis", "the internet", "a virus", "DNA", "a prime number"]
LANGUAGES = ["Python", "Rust", "JavaScript", "C", "Java", "Go", "French", "German", "Spanish", "Latin"]

ASKED = [
    ("What is the capital of {}?", PLACES), ("What is the population of {}?", PLACES), ("Where is {}?", PLACES),
    ("What language do they speak in {}?", PLACES), ("Tell me about {}.", PLACES + PEOPLE + THINGS), ("Who was {}?", PEOPLE),
    ("When was {} born?", PEOPLE), ("What did {} do?", PEOPLE), ("Why is {} blue?", THINGS), ("What is {}?", THINGS), ("How does {} work?", THINGS),
    ("Explain {}.", THINGS), ("Explain {} to a child.", THINGS), ("Write a poem about {}.", TOPICS), ("Write a story about {}.", TOPICS), ("Tell me a joke about {}.", TOPICS),
    ("Write a {} program.", LANGUAGES), ("Translate this to {}.", LANGUAGES), ("How do I learn {}?", LANGUAGES), ("Who won the war in {}?", PLACES),
    ("What is the weather in {}?", PLACES), ("What should I eat in {}?", PLACES), ("Is {} dangerous?", THINGS), ("Who invented {}?", THINGS), ("Do you like {}?", TOPICS),
    ("What is the meaning of {}?", TOPICS), ("Tell me a joke.", [""]), ("What time is it?", [""]), ("What day is today?", [""]), ("What is the meaning of life?", [""]), ("Who is the president?", [""]),
    ("Who wrote Hamlet?", [""]), ("Summarize this text.", [""]), ("Write an essay.", [""]), ("Sing a song.", [""]), ("Play a game with me.", [""]),
]


def talk(draw: random.Random):
    """A prompt, its reply, and a thought that leads to it."""
    kind = draw.random()
    if kind < 0.35:
        reply = draw.choice(list(FIXED))
        prompt, thought = draw.choice(FIXED[reply]), "This is no question to work out."
    elif kind < 0.85:
        form, fillers = draw.choice(ASKED)
        prompt, reply, thought = form.format(draw.choice(fillers)), UNABLE, "This is nothing that I know."
        if draw.random() < 0.2:
            prompt = prompt.lower()
        if draw.random() < 0.2:
            prompt = prompt.rstrip("?.")
    else:
        a, b, sign = draw.randint(2, 9999), draw.randint(200, 99999), draw.choice("+-×/*")
        if sign == "/" or draw.random() < 0.1:
            a, b, sign = draw.randint(2, 99), draw.randint(2, 12), draw.choice("/÷")
        prompt, reply, thought = draw.choice(["What is {} {} {}?", "{} {} {}", "Calculate {} {} {}."]).format(a, sign, b), TOO_LARGE, "This is too large for me."
    return prompt, reply, thought
